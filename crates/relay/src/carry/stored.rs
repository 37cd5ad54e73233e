//! A turn of a conversation: opened with control, then carried in a task of its own on its thread, so that a reader that
//! leaves ends nothing. The order is that of `carry::turn`, from the claim on.
use super::answer::{self, response};
use super::asked::{Asked, Inward};
use super::attempt;
use super::body::{Out, error_event};
use super::claim::{self, Claim, Claimed, Opened};
use super::live::{LiveTurn, Reader};
use super::notice;
use super::open::{Calls, Open};
use super::refusals;
use super::replay;
use super::settle::Settling;
use crate::body::Source;
use crate::carry::{caught, inward};
use crate::errors::{self, ApiError};
use crate::limits;
use bytes::Bytes;
use http::{HeaderMap, Response};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What the client that asked gets: a whole answer, or the head of a stream.
enum Head {
    Whole(Response<Source>),
    Stream(Response<Source>),
}

type Tell = Option<oneshot::Sender<Result<Head, ApiError>>>;

/// What a task carries.
struct Carried {
    asked: Asked,
    claim: Claim,
    caller: HeaderMap,
    /// What was done to the new message.
    inward: Inward,
    live: Arc<LiveTurn>,
    tell: Tell,
}

impl Carried {
    fn tell(&mut self, head: Result<Head, ApiError>) {
        if let Some(tell) = self.tell.take() {
            // A client that left reads nothing; the turn goes on.
            drop(tell.send(head));
        }
    }

    /// The whole answer: for who asked, and for who followed.
    fn say(&mut self, open: &Open, whole: Bytes) {
        self.live.close(&whole, open.turn.stream);
        self.tell(Ok(Head::Whole(response(open, open.intent, Source::from(whole)))));
    }
}

/// Carries a turn of a conversation on its own, and gives its answer to the client that asked.
pub async fn carry(
    open: Box<Open>,
    asked: Asked,
    claim: Claim,
    caller: HeaderMap,
    inward: Inward,
) -> Result<Response<Source>, ApiError> {
    let turn = &open.turn;
    let conversation = claim.conversation.clone().unwrap_or_default();
    let live = LiveTurn::new(&turn.id, &conversation, &turn.who.tenant, &turn.who.principal);
    let alone_ms = turn.plan.config.tighter.alone_ms.unwrap_or(limits::ALONE_MS).min(limits::ALONE_MS);
    turn.running.on_its_own(&live, alone_ms);
    let reader: Reader = live.reader(None).map_err(|_| &errors::INTERNAL)?;
    let (tell, told) = oneshot::channel();
    let carried = Carried { asked, claim, caller, inward, live, tell: Some(tell) };
    tokio::task::spawn_local(alone(open, carried));
    match told.await.map_err(|_| &errors::INTERNAL)?? {
        Head::Whole(response) => Ok(response),
        Head::Stream(mut response) => {
            *response.body_mut() = Source::Live(reader);
            Ok(response)
        }
    }
}

/// The task: whatever happens in it, its readers get an end and nobody finds it any longer.
async fn alone(open: Box<Open>, mut carried: Carried) {
    let worker = Rc::clone(&open.turn.worker);
    let settling = Settling::begin(&worker);
    let lang = open.turn.lang;
    if let Err(error) = caught(&worker, Box::pin(steps(open, &mut carried))).await {
        let mut last = Vec::new();
        error_event(&error.body(lang), &mut last);
        carried.live.close(&last, true);
        carried.tell(Err(error));
    }
    worker.relay.live.remove(&carried.live.turn);
    drop(settling);
}

async fn steps(mut open: Box<Open>, carried: &mut Carried) -> Result<(), ApiError> {
    // Opened with control: stored, and claimed where the client sent a key.
    let Opened { upstream, stored } = match claim::claim(&open, &carried.asked, &carried.claim).await? {
        Claimed::Opened(opened) => *opened,
        Claimed::Finished(first, record) => {
            let response = replay::finished(open, &carried.asked, first, &record).await?;
            carried.tell(Ok(Head::Whole(response)));
            return Ok(());
        }
        Claimed::Failed(first, error) => {
            tracing::info!(turn = %open.turn.id, first, "a twin gets the error of the first");
            carried.tell(Ok(Head::Whole(replay::failed(&error, open.turn.lang))));
            return Ok(());
        }
    };
    open.stored = Some(stored);
    open.turn.worker.relay.live.add(&carried.live);
    // A rule refuses the message itself: it is kept with the notice, and nothing of it goes to a model, now or later.
    if carried.inward.refused.is_some() {
        return refused(open, carried).await;
    }
    let denied = open.turn.plan.plan.refusal.is_some();
    let over = open.stored.as_ref().is_some_and(|stored| stored.refusal.is_some());
    if over && !denied {
        refusals::pass(&open)?;
    }
    if over || denied {
        open.record_intent(carried.asked.body(), Calls::None).await?;
        let (notice, _) = notice::denied(&mut open, &carried.asked).await?;
        carried.say(&open, notice);
        return Ok(());
    }

    // Scan in, again: the history goes to the provider under the rules of today.
    let upstream = upstream.ok_or(&errors::INTERNAL)?;
    carried.asked.adopt(upstream.as_bytes(), &Arc::clone(&open.turn.plan))?;
    carried.inward = inward(&mut open, &mut carried.asked).await?;
    if carried.inward.refused.is_some() {
        return refused(open, carried).await;
    }
    open.record_intent(carried.asked.body(), Calls::Allowed).await?;
    call(&mut open, carried).await
}

/// A rule refuses what was scanned: recorded without a call, and told.
async fn refused(mut open: Box<Open>, carried: &mut Carried) -> Result<(), ApiError> {
    open.record_intent(carried.asked.body(), Calls::None).await?;
    let (notice, _) = notice::refused(&mut open, &carried.asked, &carried.inward).await?;
    carried.say(&open, notice);
    Ok(())
}

/// Call, scan out, label, record, end.
async fn call(open: &mut Open, carried: &mut Carried) -> Result<(), ApiError> {
    // A turn that is stopped before a provider answers ends as properly as any.
    open.scan = Some(carried.asked.scan_own(open));
    let out = Out::live(&carried.live);
    let whole = match attempt::first_of(open, &carried.asked, &carried.caller, &out).await {
        Ok(attempt) if open.turn.stream => {
            carried.tell(Ok(Head::Stream(response(open, open.intent, Source::Bytes(None)))));
            answer::carry_on(open, attempt, &out).await;
            carried.live.close(&out.with(std::mem::take), true);
            return Ok(());
        }
        Ok(attempt) => answer::whole(open, attempt).await?,
        Err(broken) => answer::failed(open, broken).await?,
    };
    carried.say(open, whole);
    Ok(())
}
