// Reading an event stream as Chat Completions sends it.

/** The most that one event may have, in characters. */
const LONGEST = 8_000_000;

/** The JSON of each event, up to `[DONE]` or the end. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? '\n\n' : value;
      if (rest.length > LONGEST) throw new Error('an event of the stream is too long');
      const lines = rest.split('\n');
      rest = lines.pop();
      for (const raw of lines) {
        const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
        if (line.startsWith('data:')) {
          data.push(line.slice(line[5] === ' ' ? 6 : 5));
        } else if (line === '' && data.length) {
          const text = data.join('\n');
          data = [];
          if (text === '[DONE]') return;
          yield JSON.parse(text);
        }
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
