//! What keeps a password from whoever only claims to be the server.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// What is said when a password is asked for in a way that gives it away.
pub(super) const GIVES_AWAY: &str = "asks for the password in a way that gives it away";

/// A stream from a server on which only SCRAM is answered: reading fails at a request for the password in clear text, or
/// as MD5, before anybody could answer it.
pub(super) struct Guarded<S> {
    stream: S,
    expects: Expects,
}

/// What the server says next (PostgreSQL documentation, 54.7).
enum Expects {
    /// Whether it does TLS: a single byte.
    TlsAnswer,
    /// A message: its type, its length, and of a request for authentication its kind.
    Message { head: Vec<u8> },
    /// The rest of a message that asks for nothing.
    Rest { bytes: usize },
    /// Whatever it likes.
    Anything,
}

/// The type, the length and the kind of a request for authentication.
const HEAD: usize = 9;

impl<S> Guarded<S> {
    /// A stream on which TLS is asked for before anything else.
    pub(super) fn before_tls(stream: S) -> Self {
        Self { stream, expects: Expects::TlsAnswer }
    }

    /// A stream on which the first message is the server's answer to who we are.
    pub(super) fn from_start(stream: S) -> Self {
        Self { stream, expects: Expects::message() }
    }

    /// A stream from a server that was proved to be the right one.
    fn trusted(stream: S) -> Self {
        Self { stream, expects: Expects::Anything }
    }
}

impl Expects {
    /// A message, of which nothing was read yet.
    fn message() -> Self {
        Self::Message { head: Vec::with_capacity(HEAD) }
    }

    /// A message after this many bytes that ask for nothing.
    fn message_after(bytes: usize) -> Self {
        if bytes == 0 { Self::message() } else { Self::Rest { bytes } }
    }

    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, others)) = bytes.split_first() {
            match self {
                Self::Anything => return Ok(()),
                Self::TlsAnswer => {
                    bytes = others;
                    *self = match first {
                        b'S' => Self::Anything,
                        b'N' => Self::message(),
                        // An error, of a server that knows no TLS at all.
                        _ => Self::Message { head: vec![*first] },
                    };
                }
                Self::Rest { bytes: left } => {
                    let skipped = bytes.len().min(*left);
                    bytes = &bytes[skipped..];
                    *self = Self::message_after(*left - skipped);
                }
                Self::Message { head } => {
                    head.push(*first);
                    bytes = others;
                    if let Some(next) = after(head)? {
                        *self = next;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What comes after the head of a message, once enough of it is there.
fn after(head: &[u8]) -> io::Result<Option<Expects>> {
    let number = |at: usize| head.get(at..at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
    let Some(length) = number(1) else { return Ok(None) };
    // The length counts itself.
    let body = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(4);
    if head.first() != Some(&b'R') {
        return Ok(Some(Expects::message_after(body)));
    }
    // The kinds of requests: PostgreSQL documentation, 54.7, AuthenticationOk and after.
    match number(5) {
        None => Ok(None),
        Some(0) => Ok(Some(Expects::Anything)),
        Some(3 | 5) => Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the server {GIVES_AWAY}"))),
        Some(_) => Ok(Some(Expects::message_after(body.saturating_sub(4)))),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, expects } = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        Poll::Ready(expects.read(&buffer.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Guarded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// TLS that is guarded inside, unless it proves who answers.
pub(super) struct GuardedTls<C> {
    pub(super) connector: C,
    pub(super) proves: bool,
}

impl<S, C> TlsConnect<S> for GuardedTls<C>
where
    C: TlsConnect<S>,
    C::Future: Send + 'static,
    C::Stream: Send + Unpin,
{
    type Stream = Guarded<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let (connecting, proves) = (self.connector.connect(stream), self.proves);
        Box::pin(async move {
            let stream = connecting.await?;
            Ok(if proves { Guarded::trusted(stream) } else { Guarded::from_start(stream) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    fn request(kind: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&kind.to_be_bytes()[..], rest].concat())
    }

    /// Reads in pieces of every size.
    fn reads(start: fn() -> Expects, said: &[u8]) -> bool {
        let outcomes: Vec<bool> = (1..=said.len())
            .map(|size| {
                let mut expects = start();
                said.chunks(size).all(|piece| expects.read(piece).is_ok())
            })
            .collect();
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "it depends on how the bytes arrive");
        outcomes[0]
    }

    #[test]
    fn only_scram_is_answered() {
        let start = || Expects::Message { head: Vec::new() };
        let notice = message(b'N', b"SNOTICE\0\0");
        for (kind, rest, answered) in
            [(0, &b""[..], true), (10, b"SCRAM-SHA-256\0\0", true), (3, b"", false), (5, b"salt", false)]
        {
            assert_eq!(reads(start, &request(kind, rest)), answered, "{kind}");
            assert_eq!(
                reads(start, &[notice.clone(), request(kind, rest)].concat()),
                answered,
                "{kind} after a notice"
            );
            assert_eq!(
                reads(start, &[request(10, b"x\0"), request(kind, rest)].concat()),
                answered,
                "{kind} after SCRAM"
            );
        }
    }

    #[test]
    fn where_tls_was_refused_the_answers_are_read() {
        assert!(!reads(|| Expects::TlsAnswer, &[b"N", &request(3, b"")[..]].concat()));
        assert!(
            reads(|| Expects::TlsAnswer, &[b"S", &request(3, b"")[..]].concat()),
            "that is not the server's any more"
        );
    }

    #[test]
    fn who_is_logged_in_may_read_anything() {
        let rows = message(b'D', &request(3, b""));
        assert!(reads(|| Expects::Message { head: Vec::new() }, &[request(0, b""), request(3, b""), rows].concat()));
    }
}
