//! A relay in a process of its own: this test binary, started again with the configuration in its environment.
use super::client::Client;
use super::control::Control;
use super::provider::Provider;
use super::wait::SLOW;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const CONFIG: &str = "RELAY_TEST_CONFIG";

/// Has to be the body of a test named `relay_process` in each test binary: runs the relay when asked to.
pub fn process() {
    if let Ok(config) = std::env::var(CONFIG) {
        // A file that may not grow is then an error of the call, as a full disk is.
        // SAFETY: sets a disposition that every thread of this process inherits; no handler runs.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        std::process::exit(dragoman_relay::run(&["--config".to_owned(), config]));
    }
}

/// A zone with a fake control and a relay.
pub struct Zone {
    pub control: Control,
    pub port: u16,
    pub admin: u16,
    pub dir: tempfile::TempDir,
    pub config: Value,
    child: Option<Child>,
}

/// Below the ports that systems give to outgoing connections, so that none of those takes one in between.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

/// A port that nobody listens on, never twice in this process, in which tests run side by side.
fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let drawn = RandomState::new().build_hasher().finish() % (PORTS.end - PORTS.start);
        let port = u16::try_from(PORTS.start + drawn).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

impl Zone {
    /// Starts with the providers `p0`, `p1`, … beside `local`. `change` adjusts the configuration.
    pub fn start(providers: &[&Provider], change: impl FnOnce(&mut Value)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let run = dir.path().join("run");
        std::fs::create_dir(&run).expect("run");
        let (port, admin) = (free_port(), free_port());
        let mut config = json!({
            "v": 1, "zone": "local", "stage": "local", "listen": format!("127.0.0.1:{port}"),
            "admin_listen": format!("127.0.0.1:{admin}"),
            "hosts": [format!("127.0.0.1:{port}"), format!("localhost:{port}")], "run": run,
            "journal": dir.path().join("journal"), "lease_ms": 2000, "threads": 2,
            "public_url": format!("http://127.0.0.1:{port}"), "session_cookie": "dragoman_session",
            "providers": {"local": {"kind": "local"}},
        });
        for (n, provider) in providers.iter().enumerate() {
            config["providers"][format!("p{n}")] = json!({
                "kind": "openai", "base_url": format!("http://127.0.0.1:{}/v1", provider.port),
                "credential": {"header": "authorization", "prefix": "Bearer ", "env": "RELAY_TEST_KEY", "file": null},
                "headers": [], "fields": [], "unknown_fields": "reject",
                "deadlines_ms": {"connect": 5000, "first_byte": 30000, "idle": 30000, "total": 120_000},
                "blocks": [{"pointer": "/choices/*/finish_reason", "equals": ["content_filter"]},
                           {"pointer": "/error/code", "equals": ["content_filter"]}]});
        }
        change(&mut config);
        let control = Control::start(&run);
        let mut zone = Self { control, port, admin, dir, config, child: None };
        zone.write_config();
        if !providers.is_empty() {
            let attempts: Vec<(String, String)> =
                (0..providers.len()).map(|n| (format!("p{n}"), format!("m{n}"))).collect();
            let attempts: Vec<(&str, &str)> =
                attempts.iter().map(|(p, m)| (p.as_str(), m.as_str())).collect();
            zone.control.set_plan(Control::allow(&attempts, &zone.empty_rules()));
        }
        zone.run();
        zone
    }

    pub fn empty_rules(&self) -> String {
        self.control.add_rules(&json!([]))
    }

    fn config_path(&self) -> PathBuf {
        self.dir.path().join("run/relay.json")
    }

    /// Writes the configuration under its digest, as control does.
    pub fn write_config(&mut self) {
        if let Some(object) = self.config.as_object_mut() {
            object.remove("digest");
        }
        let digest = dragoman_relay::record::digest_of(&self.config);
        self.config["digest"] = digest.as_str().into();
        let path = self.config_path();
        let next = path.with_extension("next");
        std::fs::write(&next, self.config.to_string()).expect("written");
        std::fs::rename(&next, &path).expect("renamed");
        *self.control.0.config.lock().unwrap() = digest;
    }

    /// Starts the relay's process, whatever becomes of it.
    pub fn spawn(&mut self) {
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["relay_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(CONFIG, self.config_path())
            .env("RELAY_TEST_KEY", "provider-secret")
            .stdout(Stdio::null())
            .stderr(self.log_file())
            .spawn()
            .expect("a process");
        self.child = Some(child);
    }

    /// Starts the relay's process and waits until it is ready.
    pub fn run(&mut self) {
        self.spawn();
        let until = Instant::now() + 2 * SLOW;
        while Instant::now() < until {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                panic!("the relay ended at its start: {status} {}", self.log());
            }
            // Asked there: the public port may speak TLS.
            if std::net::TcpStream::connect(("127.0.0.1", self.admin)).is_ok()
                && Client::open(self.admin).get("/readyz").status == 200
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the relay is not ready");
    }

    fn log_file(&self) -> std::fs::File {
        let path = self.dir.path().join("relay.log");
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a log")
    }

    /// What the relay logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("relay.log")).expect("a log")
    }

    pub fn client(&self) -> Client {
        Client::open(self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is our own child and has not been waited for.
        unsafe { libc::kill(i32::try_from(self.pid()).expect("a pid"), signal) };
    }

    /// Waits for the process to end; its exit status.
    pub fn wait(&mut self) -> i32 {
        self.child.take().expect("running").wait().expect("an end").code().unwrap_or(-1)
    }

    /// A metric's value.
    pub fn metric(&self, name: &str) -> f64 {
        let mut client = Client::open(self.admin);
        let text = client.get("/metrics").body;
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().and_then(|v| v.parse().ok()).expect("a number")
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
