//! `watchbell healthy`: asks a running service whether it lives. For health checks of containers, which have
//! no shell and no curl. Speaks plain HTTP only and asks for nothing but the status.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

const TIMEOUT: Duration = Duration::from_secs(3);
/// A status line is far shorter; whatever answers must not keep us reading.
const LONGEST_LINE: u64 = 256;

/// Asks a running service whether it lives; exits with 0 if it does.
#[derive(Debug, clap::Args)]
pub struct HealthyArgs {
    /// Address of the service.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9797")]
    pub url: String,
}

/// Asks once.
///
/// # Errors
/// Nothing answers in time, or the answer is neither 200 nor 401.
pub fn run(args: &HealthyArgs) -> anyhow::Result<()> {
    let address = args.url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let Some(address) = address.filter(|address| !address.is_empty() && !address.contains('/')) else {
        bail!("`{}` is no address such as `http://127.0.0.1:9797`", args.url);
    };
    let line = ask(address).with_context(|| format!("no answer from `{}`", args.url))?;
    // Only what lives asks for a password.
    if !matches!(line.split(' ').nth(1), Some("200" | "401")) {
        bail!("`{}` answers `{}`", args.url, line.trim());
    }
    Ok(())
}

/// The status line of `/-/healthy` at `address`, which is host and port.
fn ask(address: &str) -> std::io::Result<String> {
    let mut last = std::io::Error::other("the name has no address");
    for socket in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&socket, TIMEOUT) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                let request = format!("GET /-/healthy HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes())?;
                let mut line = String::new();
                BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut line)?;
                return Ok(line);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What `run` says to a server that gives `answer`, and the request it got.
    fn told(answer: &'static str) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let lines = BufReader::new(&stream).lines().map(|line| line.expect("text"));
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            (&stream).write_all(answer.as_bytes()).expect("answered");
            request[0].clone()
        });
        let result = run(&HealthyArgs { url }).map_err(|e| format!("{e:#}"));
        (result, server.join().expect("no panic"))
    }

    #[test]
    fn an_answer_is_healthy_unless_it_is_an_error() {
        assert_eq!(told("HTTP/1.1 200 OK\r\n\r\n"), (Ok(()), "GET /-/healthy HTTP/1.1".to_owned()));
        let error = told("HTTP/1.1 503 Service Unavailable\r\n\r\n").0.expect_err("not healthy");
        assert!(error.ends_with("answers `HTTP/1.1 503 Service Unavailable`"), "{error}");
        assert!(told("").0.is_err());
        assert_eq!(told("HTTP/1.1 401 Unauthorized\r\n\r\n").0, Ok(()), "it lives, and asks who asks");
    }

    #[test]
    fn nobody_there_and_bad_addresses_fail() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        assert!(run(&HealthyArgs { url }).expect_err("closed").to_string().starts_with("no answer from"));
        for url in ["127.0.0.1:9797", "https://127.0.0.1:9797", "http://", "http://a:1/path"] {
            let error = run(&HealthyArgs { url: url.to_owned() }).expect_err(url).to_string();
            assert!(error.contains("is no address"), "{error}");
        }
    }
}
