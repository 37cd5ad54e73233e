//! One thread that carries turns: its clock, its connections, its pools. Threads share nothing mutable
//! but what `state` holds; a turn stays on the thread that accepted its connection.
use crate::accept::{self, guard::Vitals};
use crate::admin;
use crate::carry::running::Running;
use crate::changes;
use crate::clock::boot_ms;
use crate::control::Control;
use crate::limits;
use crate::mailbox::Mailbox;
use crate::pace::Pace;
use crate::provider::pool::Pool;
use crate::proxy::Pages;
use crate::state::{Relay, Told};
use crate::wire::Change;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, Semaphore};

/// A thread's own things.
pub struct Worker {
    pub relay: Arc<Relay>,
    /// Boot milliseconds, as of the last tick.
    pub now: Rc<Cell<u64>>,
    pub control: Control,
    pub providers: Pool,
    pub pages: Pages,
    /// Where a burst of a provider is read to; held only between two waits.
    pub scratch: RefCell<Box<[u8]>>,
    /// Places for turns.
    pub places: Semaphore,
    /// Places for those of them that control answers itself.
    pub seats: Arc<Semaphore>,
    pub waiting: Cell<usize>,
    pub pace: Rc<Pace>,
    /// Ends being recorded whose clients are gone.
    pub settling: Cell<usize>,
    pub draining: Cell<bool>,
    pub drain: Notify,
    connections: RefCell<Vec<Weak<Vitals>>>,
    running: RefCell<Vec<Weak<Running>>>,
}

impl Worker {
    pub fn new(relay: Arc<Relay>) -> Rc<Self> {
        let config = relay.config.load_full();
        let run = &config.run;
        let places = config.tighter.turns_per_thread.unwrap_or(limits::TURNS_PER_THREAD);
        Rc::new(Self {
            now: Rc::new(Cell::new(boot_ms())),
            control: Control::new(run, Arc::clone(&relay.tls)),
            providers: Pool::new(Arc::clone(&relay.tls)),
            pages: Pages::new(run.join("pages.sock")),
            scratch: RefCell::new(vec![0; limits::PROVIDER_READ_BYTES].into()),
            places: Semaphore::new(places.min(limits::TURNS_PER_THREAD)),
            seats: Arc::new(Semaphore::new(limits::LOCAL_PER_THREAD)),
            waiting: Cell::new(0),
            pace: Rc::default(),
            settling: Cell::new(0),
            draining: Cell::new(false),
            drain: Notify::new(),
            connections: RefCell::default(),
            running: RefCell::default(),
            relay,
        })
    }

    /// Serves what the thread is told until it is asked to stop and nothing is open.
    pub async fn run(self: Rc<Self>, mut told: UnboundedReceiver<Told>) {
        tokio::task::spawn_local(Mailbox::open());
        let mut tick = tokio::time::interval(Duration::from_millis(limits::TICK_MS));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                message = told.recv() => match message {
                    Some(message) => self.hear(message),
                    None => return,
                },
                _ = tick.tick() => self.tick(),
            }
            if self.draining.get() && self.settling.get() == 0 && self.connections.borrow().is_empty() {
                return;
            }
        }
    }

    fn hear(self: &Rc<Self>, told: Told) {
        match told {
            Told::Public(arrived, slot) => accept::public(self, arrived, slot),
            Told::Socket(stream, slot) => accept::socket(self, stream, slot),
            Told::Admin(stream) => admin::serve(self, stream),
            Told::Changed(changes) => self.changed(&changes),
            Told::Drain => {
                self.draining.set(true);
                self.drain.notify_waiters();
            }
            Told::End => self.each_running(Running::end_for_restart),
        }
    }

    /// Watches a new connection; `idles` is false where it may be kept for ever. Ended ones are forgotten at the next tick.
    pub fn watch(&self, idles: bool) -> Rc<Vitals> {
        let vitals = Rc::new(Vitals::new(self.now.get(), idles));
        self.connections.borrow_mut().push(Rc::downgrade(&vitals));
        vitals
    }

    /// Takes a turn under the thread's clock and the changes.
    pub fn enroll(&self, running: &Rc<Running>) {
        self.running.borrow_mut().push(Rc::downgrade(running));
    }

    fn tick(&self) {
        let now = boot_ms();
        self.now.set(now);
        self.connections.borrow_mut().retain(|c| {
            c.upgrade().is_some_and(|vitals| {
                vitals.tick(now);
                true
            })
        });
        let fresh = self.relay.lease.fresh();
        self.each_running(|running| running.tick(now, fresh));
        self.control.tick(now);
        self.providers.tick(now);
    }

    fn changed(&self, changes: &[Arc<Change>]) {
        self.each_running(|running| {
            if let Some(stop) = changes.iter().find_map(|c| changes::stop_of(c, running.tags())) {
                running.stop(stop);
            }
        });
    }

    fn each_running(&self, mut f: impl FnMut(&Running)) {
        // Waking a turn only marks its task, so nothing enrols meanwhile.
        self.running.borrow_mut().retain(|r| {
            r.upgrade().is_some_and(|running| {
                f(&running);
                true
            })
        });
    }
}
