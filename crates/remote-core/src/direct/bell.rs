//! The waker of a connection that is driven by whoever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Passes on what comes from the network and keeps quiet about what the one who waits does himself: the two halves of a
/// connection wake each other with every chunk, and a task that wakes itself is polled twice for nothing.
#[derive(Debug)]
pub(super) struct Bell {
    inside: Arc<Inside>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Inside {
    owner: AtomicWaker,
    /// The owner is at work, and will look by himself.
    is_busy: AtomicBool,
    /// Somebody rang meanwhile.
    rang: AtomicBool,
}

impl Bell {
    pub(super) fn new() -> Self {
        let inside = Arc::new(Inside::default());
        Self { waker: Waker::from(Arc::clone(&inside)), inside }
    }

    /// Looks for something with `look`, and once more after `drive` has moved the connection. When there is nothing, the owner
    /// of `cx` is woken for what happens from then on.
    pub(super) fn attend<T>(
        &self,
        cx: &Context<'_>,
        drive: impl FnOnce(&mut Context<'_>),
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // What is looked at changes by driving alone, so nobody needs to be woken for it.
        let mut look = || look(&mut Context::from_waker(Waker::noop()));
        self.inside.owner.register(cx.waker());
        self.inside.is_busy.store(true, Ordering::SeqCst);
        let mut found = look();
        if found.is_pending() {
            // Whatever rang until here is seen now.
            self.inside.rang.store(false, Ordering::SeqCst);
            drive(&mut Context::from_waker(&self.waker));
            found = look();
        }
        self.inside.is_busy.store(false, Ordering::SeqCst);
        if found.is_pending() {
            self.inside.ring();
        }
        found
    }

    /// Forgets the owner.
    pub(super) fn silence(&self) {
        drop(self.inside.owner.take());
    }
}

impl Inside {
    /// Tells the owner if somebody rang and he may not have seen why.
    fn ring(&self) {
        if self.rang.load(Ordering::SeqCst)
            && !self.is_busy.load(Ordering::SeqCst)
            && self.rang.swap(false, Ordering::SeqCst)
        {
            self.owner.wake();
        }
    }
}

impl Wake for Inside {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Owner(Arc<Counting>, Waker);

    impl Owner {
        fn new() -> Self {
            let counting = Arc::new(Counting::default());
            Self(Arc::clone(&counting), Waker::from(counting))
        }

        fn woken(&self) -> usize {
            self.0.0.swap(0, Ordering::SeqCst)
        }
    }

    #[test]
    fn the_owner_is_woken_for_what_comes_while_he_waits_and_after_what_came_during_his_look() {
        let (bell, owner) = (Bell::new(), Owner::new());
        let cx = Context::from_waker(&owner.1);
        let mut given = None;
        let nothing = |_: &mut Context<'_>| Poll::<()>::Pending;
        assert!(bell.attend(&cx, |inner| given = Some(inner.waker().clone()), nothing).is_pending());
        let given = given.unwrap();
        assert_eq!(owner.woken(), 0);
        given.wake_by_ref();
        assert_eq!(owner.woken(), 1, "a ring from outside");
        let rung = |_: &mut Context<'_>| given.wake_by_ref();
        assert!(bell.attend(&cx, rung, nothing).is_pending());
        assert_eq!(owner.woken(), 1, "what rang after the connection was moved");
        let mut looks = 0;
        let look = |_: &mut Context<'_>| {
            looks += 1;
            if looks == 1 {
                given.wake_by_ref();
            }
            Poll::<()>::Pending
        };
        assert!(bell.attend(&cx, |_| (), look).is_pending());
        assert_eq!(owner.woken(), 0, "what rang before it was moved");
        assert!(bell.attend(&cx, rung, |_| Poll::Ready(())).is_ready());
        assert_eq!(owner.woken(), 0, "whoever found something looks again by himself");
        bell.silence();
        given.wake_by_ref();
        assert_eq!(owner.woken(), 0, "nobody owns it");
    }

    /// A ring at any moment is answered by a wake or by a look that begins later.
    #[test]
    fn no_ring_is_lost_between_threads() {
        for _ in 0..200 {
            let (bell, owner) = (Bell::new(), Owner::new());
            let (happened, seen) = (AtomicBool::new(false), AtomicBool::new(false));
            let cx = Context::from_waker(&owner.1);
            let mut given = None;
            let nothing = |_: &mut Context<'_>| Poll::<()>::Pending;
            assert!(bell.attend(&cx, |inner| given = Some(inner.waker().clone()), nothing).is_pending());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    happened.store(true, Ordering::SeqCst);
                    given.unwrap().wake();
                });
                let drive =
                    |_: &mut Context<'_>| seen.store(happened.load(Ordering::SeqCst), Ordering::SeqCst);
                assert!(bell.attend(&cx, drive, nothing).is_pending());
            });
            assert!(seen.load(Ordering::SeqCst) || owner.woken() > 0);
        }
    }
}
