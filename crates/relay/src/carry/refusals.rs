//! How many refused turns of one principal are recorded. A refusal costs durable writes of both processes and no limit
//! counts it, so it passes a rate before the first of them; what is beyond it is a 429 without an entry. A turn that has an
//! intent is past this: it gets its result, and was reserved as any that is answered.
use super::open::{Open, Turn};
use crate::accept::routes;
use crate::errors::ApiError;
use crate::metrics::count;
use crate::throttle::Throttles;
use crate::wire::Principal;
use crate::worker::Worker;

/// What a turn passes before it is scanned: the rate of refusals where its plan refuses it. A stored one may be refused once
/// it is opened: who has too many of those given back waits. Other refusals keep nothing allowed out.
///
/// # Errors
/// 429 beyond the rate.
pub fn begin(worker: &Worker, who: &Principal, route: routes::Turn, denied: bool) -> Result<(), ApiError> {
    let Throttles { refused, in_vain, .. } = &worker.relay.throttles;
    let passed = if denied {
        refused.pass(&who.principal, most(worker))
    } else if route.is_stored() {
        in_vain.check(&who.principal, most(worker))
    } else {
        Ok(())
    };
    passed.inspect_err(|_| count(&worker.relay.metrics.throttled))
}

/// Lets the refusal of a turn be recorded that its plan allowed. One that was opened is given back beyond the rate.
///
/// # Errors
/// As `begin`.
pub fn pass(open: &Open) -> Result<(), ApiError> {
    let Turn { worker, who, .. } = &open.turn;
    let passed = worker.relay.throttles.refused.pass(&who.principal, most(worker));
    passed.inspect_err(|error| {
        count(&worker.relay.metrics.throttled);
        given_back(open, error);
    })
}

/// Counts a turn that was opened in vain: a rate or limit refuses it. Without contact nobody does.
pub fn given_back(open: &Open, error: &ApiError) {
    let Turn { worker, who, .. } = &open.turn;
    if error.status == 429 && open.stored.is_some() {
        worker.relay.throttles.in_vain.charge(&who.principal, most(worker));
    }
}

fn most(worker: &Worker) -> u64 {
    worker.relay.config.load().edge.per_minute.refused_turns
}
