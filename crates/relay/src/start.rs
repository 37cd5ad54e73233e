//! Starts a relay and stops it: arguments, configuration, journal, threads, listeners, signals. A turn is
//! not seen here.
use crate::address::Origin;
use crate::address::crowd::Crowd;
use crate::config::Config;
use crate::contact;
use crate::edge::{self, Edge};
use crate::limits;
use crate::lines::Lines;
use crate::log::Log;
use crate::metrics::count;
use crate::provider::pool;
use crate::state::{Arrived, Loads, Relay, Slot, Told};
use crate::worker::Worker;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing_subscriber::EnvFilter;

/// What `--help` prints.
pub const HELP: &str = "\
Usage: dragoman relay --config run/relay.json

Carries turns: accepts OpenAI-shaped requests, asks control for principal and plan, scans, records in the
journal, calls the provider, and streams the answer. It decides nothing and has no database.

Options:
  --config FILE   the configuration that control writes, run/relay.json (see docs/wire.md)
  --help          this text
  --version       the version

It answers on `listen` (turns, pages), on `admin_listen` (GET /metrics, GET /healthz) and on run/turn.sock.
SIGTERM or SIGINT: no new turn is taken, open ones may finish for 25 s, then the journal is closed.
Exit status: 0 stopped as asked, 1 failed while running, 2 not started (arguments, configuration, journal).
Logs are lines on standard error, as [log] says; DRAGOMAN_RELAY_LOG=debug shows more.
";

/// Exit status of a start that failed.
const NOT_STARTED: i32 = 2;

enum Arguments {
    Run(PathBuf),
    Print(String),
}

fn arguments(argv: &[String]) -> Result<Arguments, String> {
    let mut config = None;
    let mut rest = argv.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(Arguments::Print(HELP.to_owned())),
            "--version" => {
                return Ok(Arguments::Print(format!("dragoman relay {}\n", env!("CARGO_PKG_VERSION"))));
            }
            "--config" => {
                config = Some(PathBuf::from(
                    rest.next().ok_or("--config needs a file, for example run/relay.json")?,
                ));
            }
            other => match other.strip_prefix("--config=") {
                Some(path) => config = Some(PathBuf::from(path)),
                None => return Err(format!("{other:?} is not an option of the relay")),
            },
        }
    }
    config
        .map(Arguments::Run)
        .ok_or_else(|| "--config is missing, for example --config run/relay.json".to_owned())
}

/// Runs a relay until it is asked to stop. `argv` is without the program's name. Gives the exit status.
pub fn run(argv: &[String]) -> i32 {
    let path = match arguments(argv) {
        Ok(Arguments::Run(path)) => path,
        Ok(Arguments::Print(text)) => {
            print!("{text}");
            return 0;
        }
        Err(why) => {
            eprintln!("dragoman relay: {why}\n\n{HELP}");
            return NOT_STARTED;
        }
    };
    logs(&path);
    match start(path) {
        Ok(started) => started.serve(),
        Err(why) => {
            tracing::error!(error = %why, "not started");
            NOT_STARTED
        }
    }
}

/// Sets lines and level as the configuration says, before it is checked: why it is refused has to be logged as well.
fn logs(config: &Path) {
    let document: Option<Value> = std::fs::read(config).ok().and_then(|b| serde_json::from_slice(&b).ok());
    let said = |name: &str| document.as_ref()?.get("log")?.get(name)?.as_str().map(str::to_owned);
    let form = if said("format").as_deref() == Some("text") { Lines::Text } else { Lines::Json };
    let filter = EnvFilter::try_from_env("DRAGOMAN_RELAY_LOG")
        .unwrap_or_else(|_| EnvFilter::new(said("level").unwrap_or_else(|| "info".to_owned())));
    // A second relay in one process (tests) keeps the first one's subscriber.
    let lines = tracing_subscriber::fmt().event_format(form).with_env_filter(filter);
    drop(lines.with_writer(io::stderr).try_init());
}

struct Started {
    relay: Arc<Relay>,
    runtime: LocalRuntime,
    threads: Vec<JoinHandle<()>>,
    contact: JoinHandle<()>,
    public: TcpListener,
    admin: TcpListener,
    turns: UnixListener,
    owner: u32,
    loads: Arc<Loads>,
}

fn local_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().event_interval(61).build_local(LocalOptions::default())
}

/// Lets the process open as many files as it may: a stream takes two, one to each side.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid, writable rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return;
    }
    let (had, most) = (limit.rlim_cur, limit.rlim_max);
    limit.rlim_cur = most;
    // SAFETY: `limit` is a valid rlimit whose soft value is its hard one.
    if had < most && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        tracing::warn!(files = had, "the limit of open files stays as it was");
    }
}

fn start(path: PathBuf) -> Result<Started, Box<dyn std::error::Error>> {
    raise_file_limit();
    let config = Config::read(&path)?;
    let log = Log::open(&config.journal, &config.zone, config.tighter.segment_bytes)?;
    let tls = pool::tls_config()?;
    let looked = edge::looks(&config);
    let edge = Edge::open(&config.edge)?;
    let runtime = local_runtime()?;
    let (public, admin, turns) = runtime.block_on(async {
        let public = listen(config.listen)?;
        let admin = listen(config.admin_listen)?;
        Ok::<_, io::Error>((public, admin, turn_socket(&config.run)?))
    })?;
    let owner = std::fs::metadata(&config.run)?.uid();
    let count = config.threads;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded_channel()).unzip();
    tracing::info!(listen = %public.local_addr()?, admin = %admin.local_addr()?, threads = count, "relay started");
    let relay = Arc::new(Relay::new(config, path, log, edge, tls, senders));
    let threads = receivers
        .into_iter()
        .enumerate()
        .map(|(n, told)| spawn(format!("relay-{n}"), Arc::clone(&relay), move |relay| carry(relay, told)))
        .collect::<io::Result<Vec<_>>>()?;
    let contact = spawn("contact".to_owned(), Arc::clone(&relay), keep_contact)?;
    let loads = Arc::new(Loads::new(count));
    spawn("edge".to_owned(), Arc::clone(&relay), move |relay| {
        edge::watch(&relay, looked);
        Ok(())
    })?;
    Ok(Started { relay, runtime, threads, contact, public, admin, turns, owner, loads })
}

fn spawn(
    name: String,
    relay: Arc<Relay>,
    body: impl FnOnce(Arc<Relay>) -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        if let Err(e) = body(relay) {
            tracing::error!(error = %e, "a thread could not start");
        }
    })
}

fn carry(relay: Arc<Relay>, told: UnboundedReceiver<Told>) -> io::Result<()> {
    let runtime = local_runtime()?;
    runtime.block_on(async { Worker::new(relay).run(told).await });
    Ok(())
}

fn keep_contact(relay: Arc<Relay>) -> io::Result<()> {
    local_runtime()?.block_on(contact::run(relay));
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{address}: {e}"));
    socket.bind(&address.into()).map_err(named)?;
    socket.listen(4096).map_err(named)?;
    TcpListener::from_std(socket.into())
}

/// Binds `turn.sock` in the run folder, which has to be the owner's alone.
fn turn_socket(run: &Path) -> io::Result<UnixListener> {
    std::fs::create_dir_all(run)?;
    std::fs::set_permissions(run, std::fs::Permissions::from_mode(0o700))?;
    let path = run.join("turn.sock");
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Started {
    fn serve(self) -> i32 {
        let accepted = self.runtime.block_on(self.accept());
        if let Err(e) = &accepted {
            tracing::error!(error = %e, "accepting failed");
        }
        self.stop();
        i32::from(accepted.is_err())
    }

    /// Hands each connection to the thread with the fewest, until a signal comes.
    async fn accept(&self) -> io::Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
                got = self.public.accept() => match got.and_then(|(s, peer)| Ok((s.into_std()?, peer))) {
                    Ok((stream, peer)) => self.admit(stream, peer).await,
                    Err(e) => self.handed(Err(e), Told::Public).await,
                },
                got = self.admin.accept() => {
                    let told = got.and_then(|(s, _)| s.into_std());
                    self.handed(told, |s, _| Told::Admin(s)).await;
                }
                got = self.turns.accept() => match got {
                    Ok((s, _)) if s.peer_cred().is_ok_and(|peer| peer.uid() == self.owner) => {
                        self.handed(s.into_std(), Told::Socket).await;
                    }
                    Ok(_) => tracing::warn!("turn.sock: another uid was refused"),
                    Err(e) => self.handed(Err(e), Told::Socket).await,
                },
            }
        }
    }

    /// Counts a public connection under its address. The ones of trusted proxies count for their clients, later.
    async fn admit(&self, stream: std::net::TcpStream, peer: SocketAddr) {
        let config = self.relay.config.load();
        let mut arrived = Arrived { stream, peer, counted: None };
        if !config.local && !Origin::of(peer).is_proxy(&config.edge.trusted) {
            arrived.counted = Crowd::take(&self.relay.edge.crowd, peer.ip().to_canonical());
            if arrived.counted.is_none() {
                count(&self.relay.metrics.crowded);
                return;
            }
        }
        drop(config);
        self.handed(Ok(arrived), Told::Public).await;
    }

    async fn handed<S>(&self, got: io::Result<S>, tell: impl FnOnce(S, Slot) -> Told) {
        match got {
            Ok(stream) => {
                if let Some(slot) = Loads::take(&self.loads) {
                    let at = slot.thread();
                    drop(self.relay.threads[at].send(tell(stream, slot)));
                }
            }
            Err(e) => {
                // Usually no more file descriptors: give the open connections time to end.
                tracing::warn!(error = %e, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(limits::TICK_MS)).await;
            }
        }
    }

    /// Finishes open turns, ends the rest, then closes the journal: its final checkpoint covers them all.
    fn stop(self) {
        let Self { relay, runtime, threads, contact, public, admin, turns, .. } = self;
        relay.stopping.store(true, Ordering::Release);
        drop((public, admin, turns, runtime));
        relay.tell(|| Told::Drain);
        let drained = Instant::now() + Duration::from_millis(limits::DRAIN_MS);
        let finished = || threads.iter().all(JoinHandle::is_finished);
        while !finished() && Instant::now() < drained {
            std::thread::sleep(Duration::from_millis(limits::TICK_MS / 5));
        }
        if !finished() {
            tracing::warn!("open turns are ended");
            relay.tell(|| Told::End);
            let ended = Instant::now() + Duration::from_millis(limits::END_MS);
            while !finished() && Instant::now() < ended {
                std::thread::sleep(Duration::from_millis(limits::TICK_MS / 5));
            }
        }
        // The feed sends what it can; what it cannot is sent after the next start.
        relay.closing.store(true, Ordering::Release);
        let fed = Instant::now() + Duration::from_millis(limits::END_MS);
        while !contact.is_finished() && Instant::now() < fed {
            std::thread::sleep(Duration::from_millis(limits::TICK_MS / 5));
        }
        relay.log.close();
        drop(std::fs::remove_file(relay.config.load().run.join("turn.sock")));
        tracing::info!("relay stopped");
    }
}
