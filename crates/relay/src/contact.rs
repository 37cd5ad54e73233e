//! The thread that keeps contact with control: the long poll on changes, announced rule sets, and the
//! feed of the journal. No turn is carried here, so no turn can delay the lease.
use crate::budget::ask;
use crate::clock::boot_ms;
use crate::control::{Ask, Control};
use crate::feed;
use crate::limits;
use crate::recover;
use crate::state::Relay;
use crate::wire::Changes;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Runs until the relay stops. Each part fails by itself and tries again.
pub async fn run(relay: Arc<Relay>) {
    let run = relay.config.load().run.clone();
    let control = Rc::new(Control::new(&run, Arc::clone(&relay.tls)));
    // Before the first contact counts, hence before anything is served.
    if !recover::run(&relay, &control).await {
        return;
    }
    let feeding = tokio::task::spawn_local(feed::run(Arc::clone(&relay), Rc::clone(&control)));
    let tending = tokio::task::spawn_local(ask::tend(Arc::clone(&relay), Rc::clone(&control)));
    poll(&relay, &control).await;
    drop(tending.await);
    // The feed ends by itself once the journal is closed and empty, or control is gone.
    drop(feeding.await);
}

async fn poll(relay: &Arc<Relay>, control: &Rc<Control>) {
    let mut after = 0;
    let mut lost = false;
    let mut announced: Option<Vec<String>> = None;
    let headers = format!("dragoman-log: {}\r\n", relay.log.id());
    while !relay.is_closing() {
        let path = format!("/changes?after={after}");
        let sent = boot_ms();
        let ask = Ask { ms: limits::CHANGES_MS, headers: &headers, ..Ask::get(&path) };
        match control.ask_json::<Changes>(&ask).await {
            Ok(news) => {
                if std::mem::take(&mut lost) {
                    tracing::info!("contact with control again");
                }
                let config = relay.config.load();
                let other = news.config != config.digest;
                after = news.seq;
                relay.changed(news.seq, news.changes, news.reset);
                // Only now may what is cached be used on: it is as new as this answer.
                relay.lease.renew(sent, config.lease_ms);
                drop(config);
                if other {
                    relay.reload();
                }
                if announced.as_ref() != Some(&news.rulesets) {
                    ahead(relay, control, news.rulesets.clone());
                    announced = Some(news.rulesets);
                }
            }
            Err(e) => {
                // Told once per loss: the poll itself is tried again twenty times a second.
                if !std::mem::replace(&mut lost, true) {
                    tracing::warn!(error = %e, "no contact with control");
                }
                tokio::time::sleep(Duration::from_millis(limits::CHANGES_RETRY_MS)).await;
            }
        }
        control.tick(boot_ms());
    }
}

/// Fetches announced sets beside the poll, which goes on.
fn ahead(relay: &Arc<Relay>, control: &Rc<Control>, digests: Vec<String>) {
    let (relay, control) = (Arc::clone(relay), Rc::clone(control));
    tokio::task::spawn_local(async move { relay.rules.announced(&control, &digests).await });
}
