//! The life of a turn, in order: accept → identify → plan → scan in → [open with control] → record intent →
//! call provider → scan out · label → record result → end. `turn` below is that order; each step says no by returning.
mod answer;
mod asked;
mod attempt;
pub mod body;
mod claim;
pub mod follow;
mod intake;
pub mod live;
mod merge;
mod notice;
mod open;
mod refusals;
mod replay;
pub mod running;
mod settle;
mod stored;

pub use body::TurnBody;

use crate::accept::routes;
use crate::accept::{self, Door};
use crate::body::Source;
use crate::budget::account;
use crate::changes::Since;
use crate::clock;
use crate::errors::{self, ApiError};
use crate::limits;
use crate::metrics::count;
use crate::plan::{self, Ready};
use crate::record::Salt;
use crate::wire::{Address, Lang, Principal, Question};
use crate::worker::Worker;
use asked::{Asked, Inward};
use claim::{Claim, Claimed};
use http::{Request, Response, request};
use hyper::body::Incoming;
use open::{Calls, Open, Turn};
use running::Running;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// Carries one turn. The head was checked by `accept`.
pub async fn turn(
    worker: &Rc<Worker>,
    door: Door,
    route: routes::Turn,
    said: Option<Lang>,
    request: Request<Incoming>,
) -> Result<Response<Source>, ApiError> {
    let (parts, incoming) = request.into_parts();
    let epoch = worker.relay.changes.epoch();
    let (place, who, address) = match admitted(worker, door, &parts).await {
        Ok(admitted) => admitted,
        Err(e) => {
            intake::discard(&parts.headers, incoming).await;
            return Err(e);
        }
    };
    let body = intake::body(&parts.headers, incoming).await?;
    let started = Instant::now();
    let mut asked = Asked::parse(route, &body, &worker.relay.config.load())?;
    let claim = Claim::of(route, parts.uri.path(), &parts.headers, &body)?;
    drop(body);

    // 3 plan.
    let Planned { who, plan, running, question } =
        planned(worker, door, &parts, (route, claim.as_ref()), &asked, epoch, (who, &address)).await?;
    asked.check(&plan)?;
    let seat = intake::seat(worker, &plan).await?;
    let lang = asked.lang(said.or(who.locale.as_deref().map(|l| Lang::of(Some(l)))));
    let (counted, account) = account::admit(worker, &who, &plan, asked.request())?;
    let denied = plan.plan.refusal.is_some();
    refusals::begin(worker, &who, route, denied)?;
    let turn = Turn {
        worker: Rc::clone(worker),
        id: clock::new_id("trn", &plan.config.zone),
        salt: Salt(clock::random()),
        who,
        address,
        plan,
        running,
        route,
        lang,
        model: asked.model().to_owned(),
        conversation: claim.as_ref().and_then(|claim| claim.conversation.clone()),
        question,
        stream: asked.stream(),
        started,
        place,
        seat,
        counted,
    };
    // In one place for the turn's whole life: it is large, and is handed on from step to step.
    let mut open = Box::new(Open::new(turn, account));
    // A turn of a conversation that is refused, here or by a rule, is kept in it, as its user saw it, and so has a passport.
    if denied && !route.is_stored() {
        let (notice, index) = notice::denied(&mut open, &asked).await?;
        return Ok(answer::response(&open, Some(index), Source::from(notice)));
    }

    // 4 scan in.
    let inward = inward(&mut open, &mut asked).await?;
    if inward.refused.is_some() && !route.is_stored() {
        let (notice, index) = notice::refused(&mut open, &asked, &inward).await?;
        return Ok(answer::response(&open, Some(index), Source::from(notice)));
    }

    // What is stored is opened with control first; a turn of a conversation then runs on its own.
    let asked = match claim {
        None => asked,
        Some(claim) if route.is_stored() => {
            return stored::carry(open, asked, claim, parts.headers, inward).await;
        }
        Some(claim) => match claim::claim(&open, &asked, &claim).await? {
            Claimed::Opened(opened) => {
                open.stored = Some(opened.stored);
                asked
            }
            Claimed::Finished(first, record) => return replay::finished(open, &asked, first, &record).await,
            Claimed::Failed(_, error) => return Ok(replay::failed(&error, lang)),
        },
    };

    // 5 record intent: before this has returned, nothing goes out.
    open.record_intent(asked.body(), Calls::Allowed).await?;

    // 6 call, 7 scan out, 8 label, 9 record result, and only then the end.
    answer::answer(open, &asked, &parts.headers).await
}

/// Step 4: scanned, what is refused passes its rate and what goes on reserves; only then anything is stored of it.
async fn inward(open: &mut Open, asked: &mut Asked) -> Result<Inward, ApiError> {
    let inward = asked.scan_in(open)?;
    if open.turn.plan.plan.refusal.is_some() {
        // It passed the rate with its plan, and reserves nothing.
    } else if inward.refused.is_some() {
        refusals::pass(open)?;
    } else {
        let reserved = open.reserve(asked).await;
        reserved.inspect_err(|error| refusals::given_back(open, error))?;
    }
    open.disclose_inward(&inward.made).await?;
    Ok(inward)
}

/// Step 1's place, and step 2: who asks.
async fn admitted(
    worker: &Rc<Worker>,
    door: Door,
    parts: &request::Parts,
) -> Result<(intake::Place, Arc<Principal>, Address), ApiError> {
    let place = intake::place(worker).await?;
    let (who, address) = accept::identified(worker, door, &parts.method, &parts.headers).await?;
    Ok((place, who, address))
}

/// Who asks, and under which plan; the turn is enrolled, so that a change from here on ends it.
struct Planned {
    who: Arc<Principal>,
    plan: Arc<Ready>,
    running: Rc<Running>,
    /// The question, where the turn is stored.
    question: String,
}

/// Step 3, again when a change arrived that concerns the turn: what was revoked while we asked is not used.
async fn planned(
    worker: &Rc<Worker>,
    door: Door,
    parts: &request::Parts,
    (route, claim): (routes::Turn, Option<&Claim>),
    asked: &Asked,
    mut epoch: u64,
    (mut who, address): (Arc<Principal>, &Address),
) -> Result<Planned, ApiError> {
    let relay = &worker.relay;
    for _ in 0..limits::ASK_AGAIN {
        if !relay.lease.fresh() && !relay.lease.wait().await {
            return Err((&errors::NO_CONTACT).into());
        }
        let question = Question {
            tenant: &who.tenant,
            app: who.app.as_deref(),
            end_users: &who.end_users,
            class: &who.class,
            scopes: &who.scopes,
            route: route.path(),
            model: asked.model(),
            channel: &who.channel,
            address,
        };
        let plan = plan::plan(relay, &worker.control, &question).await?;
        let question = claim.map(|_| serde_json::to_string(&question)).transpose();
        let question = question.map_err(|_| &errors::INTERNAL)?.unwrap_or_default();
        let conversation = claim.and_then(|claim| claim.conversation.as_deref());
        let running = Rc::new(Running::new(Arc::clone(&who), Arc::clone(&plan), conversation));
        worker.enroll(&running);
        if let Since::Unchanged = relay.changes.since(epoch, || running.tags()) {
            return Ok(Planned { who, plan, running, question });
        }
        epoch = relay.changes.epoch();
        who = accept::identified(worker, door, &parts.method, &parts.headers).await?.0;
    }
    Err((&errors::NO_CONTACT).into())
}

/// `future`, with a panic in it turned into one failed request.
pub async fn caught<T>(
    worker: &Worker,
    mut future: impl Future<Output = Result<T, ApiError>> + Unpin,
) -> Result<T, ApiError> {
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(cx))).unwrap_or_else(|_| {
            count(&worker.relay.metrics.panics);
            Poll::Ready(Err((&errors::INTERNAL).into()))
        })
    })
    .await
}
