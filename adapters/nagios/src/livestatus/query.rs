//! A query and its answer, one connection each.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use watchbell_checks::feed::text;
use watchbell_checks::intake::MAX_ANSWER;

/// Most bytes of a refusal that are shown.
const SHOWN: usize = 200;

/// Where Livestatus is.
#[derive(Debug, Clone)]
pub(super) enum Peer {
    Socket(PathBuf),
    Address(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Address(address) => f.write_str(address),
        }
    }
}

impl Peer {
    /// Asks `query`, which ends before its last headers, and gives the body of the answer.
    ///
    /// # Errors
    /// In words that name the peer, what it said and what to do.
    pub(super) async fn ask(&self, query: &str, timeout: Duration) -> Result<Vec<u8>, String> {
        let asked = tokio::time::timeout(timeout, async {
            match self {
                Self::Socket(path) => talk(UnixStream::connect(path).await, query).await,
                Self::Address(address) => talk(TcpStream::connect(address).await, query).await,
            }
        });
        match asked.await {
            Ok(found) => found.map_err(|error| format!("Livestatus at `{self}`: {error}")),
            Err(_) => Err(format!("Livestatus at `{self}` does not answer within {} s", timeout.as_secs())),
        }
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: std::io::Result<S>, query: &str) -> Result<Vec<u8>, String> {
    let hint = "is it loaded, and may the user that runs watchbell use it?";
    let mut stream = stream.map_err(|error| format!("{error}; {hint}"))?;
    let whole = format!("{query}OutputFormat: json\nResponseHeader: fixed16\n\n");
    stream.write_all(whole.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut head = [0; 16];
    let mut got = 0;
    while got < head.len() {
        match stream.read(&mut head[got..]).await.map_err(|error| error.to_string())? {
            0 => break,
            n => got += n,
        }
    }
    let Some((code, length)) = header(&head[..got]) else {
        // Icinga tells of some errors without a header.
        let mut rest = head[..got].to_vec();
        // What can be had at once is enough to say what it is.
        let _ =
            tokio::time::timeout(Duration::from_millis(200), (&mut stream).take(SHOWN as u64).read_to_end(&mut rest))
                .await;
        return Err(match first_line(&rest) {
            line if line.is_empty() => "it hung up without an answer".to_owned(),
            line => format!("its answer is not Livestatus's: `{line}`"),
        });
    };
    if length > MAX_ANSWER {
        return Err(format!(
            "its answer has {} MiB, and at most {} are read: let this source see fewer hosts, or read files by \
             `nagios_status` and `nagios_perfdata`",
            length >> 20,
            MAX_ANSWER >> 20
        ));
    }
    let mut body = Vec::new();
    (&mut stream).take(length as u64).read_to_end(&mut body).await.map_err(|error| error.to_string())?;
    if body.len() < length {
        return Err(format!("its answer broke off after {} of {length} bytes", body.len()));
    }
    match code {
        200 => Ok(body),
        404 | 450 | 452 => Err(format!("it refuses ({code}): {}; is it older than Livestatus 1.1?", first_line(&body))),
        413 => Err(format!("it refuses ({code}): {}; raise its `max_response_size`", first_line(&body))),
        code => Err(format!("it refuses ({code}): {}", first_line(&body))),
    }
}

/// Code and length of `200        1234\n`.
fn header(head: &[u8]) -> Option<(u16, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let (code, length) = head.strip_suffix('\n').filter(|_| head.len() == 16)?.split_at_checked(3)?;
    Some((code.parse().ok()?, length.trim().parse().ok()?))
}

fn first_line(body: &[u8]) -> String {
    let line = text(&body[..body.len().min(SHOWN)]).lines().next().unwrap_or_default().trim().to_owned();
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers() {
        assert_eq!(header(b"200        2639\n"), Some((200, 2_639)));
        assert_eq!(header(b"452          17\n"), Some((452, 17)));
        for bad in [&b"200        2639"[..], b"", b"Table 'nothing' ", b"200          -1\n", b"2000000000002639\n"] {
            assert_eq!(header(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_survived(head: Vec<u8>) {
            let _ = header(&head);
        }
    }
}
