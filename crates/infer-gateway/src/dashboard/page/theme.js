// Before the first paint, so that the page does not flash in the other theme.
'use strict';
(() => {
  try {
    const theme = localStorage.getItem('infer.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing follows the system.
  }
})();
