use super::super::named::Name;
use super::*;
use proptest::prelude::*;

fn bucket(most: u64) -> Bucket {
    life(most, true)
}

fn life(most: u64, first: bool) -> Bucket {
    let name = Name { id: "day", starts: 0, thing: ["ten", ""] };
    Bucket::new(&name, "day:20261126:ten".to_owned(), "ten", (1_000_000, most), first)
}

/// Control's side of one bucket, as slowly and plainly as it can be said.
#[derive(Default)]
struct Control {
    most: u64,
    spent: u64,
    granted: u64,
    returned: u64,
    settled: u64,
}

impl Control {
    fn held(&self) -> u64 {
        self.granted.saturating_sub(self.returned).saturating_sub(self.settled)
    }

    fn answer(&mut self, granted: u64, returned: u64, need: u64, want: u64) -> Allotment {
        self.granted = self.granted.max(granted);
        self.returned = self.returned.max(returned);
        let before = self.granted;
        let left = self.most.saturating_sub(self.spent + self.held());
        if before == granted && need > 0 && left >= need {
            self.granted += need.max(want.min(left / 4));
        }
        assert!(self.spent + self.held() <= self.most, "a grant beyond the limit");
        let taken = self.spent + self.held();
        Allotment {
            bucket: String::new(),
            before,
            granted: self.granted,
            returned: self.returned,
            ms: 100,
            most: self.most,
            left: self.most.saturating_sub(taken),
            resets: 0,
            gone: false,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(u64),
    /// A turn ends and has spent this part of a hundred of what it reserved.
    End(usize, u64),
    /// Asks; the answer is lost, or comes.
    Ask(u64, bool),
    /// The same question arrives once more, late.
    Repeat,
    Idle(bool),
    /// The bucket is forgotten, if it is empty, and made anew.
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u64..60).prop_map(Step::Reserve),
        4 => (0usize..8, 0u64..=100).prop_map(|(n, part)| Step::End(n, part)),
        3 => (1u64..60, any::<bool>()).prop_map(|(n, lost)| Step::Ask(n, lost)),
        1 => Just(Step::Repeat),
        2 => any::<bool>().prop_map(Step::Idle),
        1 => Just(Step::Forget),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is lost, late or repeated: what is reserved and spent never exceeds the limit, and both sides' sums agree.
    #[test]
    fn no_more_is_spent_than_the_limit(steps in steps(), most in 0u64..400) {
        let mut control = Control { most, ..Control::default() };
        let mut here = bucket(most);
        let mut open: Vec<u64> = Vec::new();
        let mut last: Option<(u64, u64, u64, u64)> = None;
        let mut now = 1;
        let mut forgot = false;
        for step in steps {
            now += 10;
            match step {
                Step::Reserve(amount) => {
                    if here.take(amount, now) != Took::No {
                        open.push(amount);
                    }
                }
                Step::End(n, part) if !open.is_empty() => {
                    let reserved = open.swap_remove(n % open.len());
                    let spent = reserved * part / 100;
                    // Its result is durable, then projected: the journal's order.
                    here.settle(reserved, spent);
                    control.spent += spent;
                    control.settled += spent;
                }
                Step::Ask(amount, lost) => {
                    let ask = here.ask(amount, now);
                    let said = (ask.granted, ask.returned, ask.need, ask.want);
                    last = Some(said);
                    let answer = control.answer(said.0, said.1, said.2, said.3);
                    if lost {
                        here.unsure();
                    } else {
                        here.heard(&answer, said.2, now);
                    }
                }
                Step::Repeat => {
                    if let Some((granted, returned, need, want)) = last {
                        control.answer(granted, returned, need, want);
                    }
                }
                Step::Idle(lost) => {
                    now += 200;
                    if let Some(ask) = here.idle(now, 0) {
                        let said = (ask.granted, ask.returned);
                        let answer = control.answer(said.0, said.1, 0, 0);
                        if !lost {
                            here.told(&answer);
                        }
                    }
                }
                Step::Forget if open.is_empty() && here.is_empty() => {
                    here = life(most, false);
                    forgot = true;
                }
                Step::End(..) | Step::Forget => {}
            }
            let reserved: u64 = open.iter().sum();
            prop_assert!(control.spent + reserved + here.free() <= most, "reserved beyond the limit");
            prop_assert!(reserved + here.free() <= control.held(), "control knows of less than is held");
        }
        // In the end everything is given back, what was granted in lost answers too.
        for reserved in open.drain(..) {
            here.settle(reserved, 0);
        }
        for _ in 0..3 {
            now += 200;
            here.unsure();
            if let Some(ask) = here.idle(now, 0) {
                let said = (ask.granted, ask.returned);
                let answer = control.answer(said.0, said.1, 0, 0);
                here.told(&answer);
            }
        }
        prop_assert!(forgot || control.held() == 0, "{} are held for ever", control.held());
    }
}

#[test]
fn what_was_refused_is_not_asked_again_at_once() {
    let here = bucket(10);
    let mut control = Control { most: 10, spent: 8, ..Control::default() };
    let ask = here.ask(5, 1);
    let answer = control.answer(ask.granted, ask.returned, ask.need, ask.want);
    here.heard(&answer, 5, 1);
    assert!(here.is_refused(5, 2) && here.is_refused(9, 2));
    assert!(!here.is_refused(2, 2), "less may be there");
    assert!(!here.is_refused(5, 1 + REFUSED_MS));
    assert_eq!(here.left(), (2, 10));
}

#[test]
fn an_expired_allotment_is_reserved_from_no_longer() {
    let here = bucket(100);
    let mut control = Control { most: 100, ..Control::default() };
    let ask = here.ask(5, 1);
    here.heard(&control.answer(ask.granted, ask.returned, ask.need, ask.want), 5, 1);
    assert_eq!(here.take(5, 100), Took::Yes);
    assert_eq!(here.take(5, 101), Took::No);
    let given = here.idle(101, 0).map(|ask| ask.returned);
    assert_eq!(given, Some(control.granted - 5));
    here.settle(5, 1);
    assert_eq!(here.idle(102, 0).map(|ask| ask.returned), Some(control.granted - 1));
}

#[test]
fn more_spent_than_reserved_is_taken_from_what_is_free() {
    let here = bucket(100);
    let mut control = Control { most: 100, ..Control::default() };
    let ask = here.ask(10, 1);
    here.heard(&control.answer(ask.granted, ask.returned, ask.need, ask.want), 10, 1);
    let free = here.free();
    assert_ne!(here.take(10, 2), Took::No);
    here.settle(10, 15);
    assert_eq!(here.free(), free - 15);
}

#[test]
fn threads_that_reserve_at_once_share_what_is_there() {
    let here = std::sync::Arc::new(bucket(1_000_000));
    let mut control = Control { most: 1_000_000, ..Control::default() };
    let ask = here.ask(10_000, 1);
    here.heard(&control.answer(ask.granted, ask.returned, ask.need, 0), 10_000, 1);
    let all = here.free();
    let took: u64 = std::thread::scope(|scope| {
        let run = || (0..20_000).filter(|_| here.take(1, 2) != Took::No).count() as u64;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((took, here.free()), (all, 0));
}
