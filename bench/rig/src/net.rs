//! Listeners and threads: one single-threaded runtime and one `SO_REUSEPORT` listener a thread.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Connections the kernel may hold for us before accept.
const BACKLOG: i32 = 4096;

/// The program's one argument: a JSON object.
///
/// # Errors
/// A sentence for the user when the argument is missing, is not JSON or has an unknown key.
pub fn config<T: DeserializeOwned>(example: &str) -> Result<T, String> {
    let Some(text) = std::env::args().nth(1) else {
        return Err(format!("one argument is needed, a JSON object, for example:\n  {example}"));
    };
    serde_json::from_str(&text).map_err(|e| format!("the argument is not understood: {e}"))
}

/// Prints the error and ends the process with status 2.
pub fn give_up(error: &str) -> ! {
    eprintln!("{error}");
    std::process::exit(2);
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves on `threads` threads until the process ends; prints `{"listening": "..."}` when ready.
///
/// # Errors
/// When the address cannot be bound or a runtime cannot start.
pub fn serve<F, Fut>(address: SocketAddr, threads: usize, run: F) -> io::Result<()>
where
    F: Fn(TcpListener) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let first = bind(address)?;
    let bound = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..threads.max(1) {
        listeners.push(bind(bound)?);
    }
    println!("{{\"listening\": \"{bound}\"}}");
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let run = run.clone();
            std::thread::spawn(move || -> io::Result<()> {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                LocalSet::new().block_on(&runtime, async move {
                    run(TcpListener::from_std(listener)?).await;
                    Ok(())
                })
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a serving thread panicked"))??;
    }
    Ok(())
}

/// Accepts one connection with `TCP_NODELAY` set; `None` when accepting failed this time.
pub async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => {
            stream.set_nodelay(true).ok()?;
            Some(stream)
        }
        Err(error) => {
            // Out of descriptors: without a pause this would spin.
            eprintln!("accept: {error}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            None
        }
    }
}
