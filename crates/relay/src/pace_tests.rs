use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const MUCH: u64 = limits::BEHIND_MS + 1;

#[test]
fn one_long_piece_of_work_is_no_overload_and_more_of_it_is() {
    let start = Instant::now();
    let mut judged = Judged::default();
    judged.look(ms(10 * MUCH), start);
    assert!(!judged.behind, "one look");
    judged.look(ms(0), start + ms(limits::LOOK_MS));
    judged.look(ms(MUCH), start + ms(limits::BEHIND_FOR_MS + limits::LOOK_MS));
    assert!(!judged.behind, "the look between found no work waiting");
    judged.look(ms(MUCH), start + ms(2 * limits::BEHIND_FOR_MS + limits::LOOK_MS));
    assert!(judged.behind);
    judged.look(ms(limits::BEHIND_MS), start + ms(3 * limits::BEHIND_FOR_MS));
    assert!(!judged.behind, "one look without suffices to take turns again");
}

#[test]
fn who_was_behind_a_moment_ago_is_believed_sooner() {
    let mut at = Instant::now();
    let mut judged = Judged::default();
    let mut look = |ahead, later| {
        at += ms(later);
        judged.look(ms(ahead), at);
        judged.behind
    };
    assert!(!look(MUCH, 0));
    assert!(look(MUCH, limits::BEHIND_FOR_MS));
    assert!(!look(0, 5));
    assert!(!look(MUCH, 5), "one look is one piece of work");
    assert!(look(MUCH, limits::BEHIND_AGAIN_MS));
    assert!(!look(0, 5));
    assert!(!look(MUCH, limits::BEHIND_WARY_MS));
    assert!(!look(MUCH, limits::BEHIND_AGAIN_MS), "that is long ago");
}

/// Burns processor time of this thread.
fn work(much: Duration) {
    let began = thread_time();
    while thread_time().saturating_sub(began) < much {
        std::hint::spin_loop();
    }
}

/// Whether a thread gets behind that carries tasks which take `each` again and again, within so many steps of each.
fn gets_behind(each: Duration, steps: usize) -> bool {
    const TASKS: usize = 20;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime");
    runtime.block_on(async {
        let pace = Rc::new(Pace::default());
        let behind = Rc::new(Cell::new(false));
        let tasks = (0..TASKS).map(|_| {
            let (pace, behind) = (Rc::clone(&pace), Rc::clone(&behind));
            tokio::task::spawn_local(async move {
                for _ in 0..steps {
                    if behind.get() {
                        return;
                    }
                    behind.set(pace.is_behind());
                    work(each);
                    tokio::task::yield_now().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
        behind.get()
    })
}

#[test]
fn queued_work_is_seen_and_a_thread_that_keeps_up_is_never_behind() {
    assert!(gets_behind(ms(2), 500), "twice the work was queued all the time");
    assert!(!gets_behind(ms(0), 500), "the negative control: no work");
}
