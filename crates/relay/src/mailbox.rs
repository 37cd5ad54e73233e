//! Wakes from the journal's thread, gathered: the turns that one group makes durable wake their thread once,
//! not each by a system call of its own.
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Turns of one thread that may go on.
#[derive(Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    ready: Vec<Waker>,
    pump: Option<Waker>,
}

thread_local! {
    static MAILBOX: RefCell<Option<Arc<Mailbox>>> = const { RefCell::new(None) };
}

/// A turn's waker on its way through the mailbox.
struct Letter {
    mailbox: Arc<Mailbox>,
    waker: Mutex<Option<Waker>>,
}

impl Wake for Letter {
    fn wake(self: Arc<Self>) {
        let waker = locked(&self.waker).take();
        if let Some(waker) = waker {
            self.mailbox.post(waker);
        }
    }
}

/// The locks here guard single assignments: a panic elsewhere leaves them whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mailbox {
    fn post(&self, waker: Waker) {
        let mut inner = locked(&self.inner);
        inner.ready.push(waker);
        // Who finds it filled already has a wake on its way.
        let pump = if inner.ready.len() == 1 { inner.pump.take() } else { None };
        drop(inner);
        if let Some(pump) = pump {
            pump.wake();
        }
    }

    /// Gives this thread a mailbox, and the task that empties it.
    pub fn open() -> impl Future<Output = ()> + 'static {
        let mailbox = Arc::new(Self::default());
        MAILBOX.set(Some(Arc::clone(&mailbox)));
        poll_fn(move |cx| {
            let mut inner = locked(&mailbox.inner);
            let ready = std::mem::take(&mut inner.ready);
            inner.pump = Some(cx.waker().clone());
            drop(inner);
            for waker in ready {
                waker.wake();
            }
            Poll::Pending
        })
    }
}

/// `future`, woken through the thread's mailbox where it has one.
pub async fn gathered<F: Future + Unpin>(mut future: F) -> F::Output {
    let Some(mailbox) = MAILBOX.with_borrow(Clone::clone) else { return future.await };
    let letter = Arc::new(Letter { mailbox, waker: Mutex::new(None) });
    let waker = Waker::from(Arc::clone(&letter));
    poll_fn(|cx| {
        *locked(&letter.waker) = Some(cx.waker().clone());
        Pin::new(&mut future).poll(&mut Context::from_waker(&waker))
    })
    .await
}
