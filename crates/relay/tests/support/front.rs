//! nginx and haproxy from the system's packages, before a relay, as an operator sets them up.
use super::wait::eventually;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A proxy that runs until it is dropped.
pub struct Front {
    pub port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Drop for Front {
    fn drop(&mut self) {
        // SAFETY: the process is our own child and has not been waited for.
        unsafe { libc::kill(i32::try_from(self.child.id()).expect("a pid"), libc::SIGTERM) };
        drop(self.child.wait());
    }
}

/// The program, or nothing where the machine lacks it; with `DRAGOMAN_FRONTS=required` that is a failure.
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        let said = format!("{name} is missing: apt-get install nginx-light haproxy");
        assert!(std::env::var("DRAGOMAN_FRONTS").is_err(), "{said}");
        eprintln!("not tested: {said}");
    }
    found
}

fn started(mut command: Command, port: u16, dir: tempfile::TempDir) -> Front {
    let log = std::fs::File::create(dir.path().join("log")).expect("a log");
    let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("a process");
    let front = Front { port, child, _dir: dir };
    eventually("the proxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    front
}

/// nginx, which keeps connections to the relay for others' requests.
pub fn nginx(program: &Path, port: u16, relay: u16) -> Front {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().display();
    let config = format!(
        "worker_processes 1; pid {at}/pid; daemon off; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;
  uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
  upstream relay {{ server 127.0.0.1:{relay}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://relay; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Host 127.0.0.1:{relay}; proxy_set_header Connection \"\";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Forwarded \"\";
    }}
  }}
}}
"
    );
    let file = dir.path().join("nginx.conf");
    std::fs::write(&file, config).expect("written");
    let mut command = Command::new(program);
    command.arg("-p").arg(dir.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
    started(command, port, dir)
}

/// haproxy, which does the same.
pub fn haproxy(program: &Path, port: u16, relay: u16) -> Front {
    haproxy_with(
        program,
        &format!(
            "defaults
  mode http
  option forwardfor
  http-reuse always
  timeout connect 30s
  timeout client 60s
  timeout server 60s
  timeout http-request 30s
listen front
  bind 127.0.0.1:{port}
  http-request set-header Host 127.0.0.1:{relay}
  http-request del-header Forwarded
  server one 127.0.0.1:{relay}
"
        ),
        port,
    )
}

/// haproxy that passes connections on as they are, with a PROXY header.
pub fn haproxy_tcp(program: &Path, port: u16, relay: u16) -> Front {
    haproxy_with(
        program,
        &format!(
            "defaults
  mode tcp
  timeout connect 30s
  timeout client 60s
  timeout server 60s
listen front
  bind 127.0.0.1:{port}
  server one 127.0.0.1:{relay} send-proxy-v2
"
        ),
        port,
    )
}

fn haproxy_with(program: &Path, config: &str, port: u16) -> Front {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("haproxy.cfg");
    std::fs::write(&file, config).expect("written");
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&file);
    started(command, port, dir)
}
