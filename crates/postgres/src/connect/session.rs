//! One session: its statements are sent without waiting for each other, and a WARNING is a failure.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, TryStreamExt};
use tenantdb_core::reach::Tls;
use tenantdb_core::{Address, Failure, FailureKind, Password, Tenure, Writer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Row, SimpleQueryMessage};

use super::guard::Guarded;
use super::{CONNECT_TIMEOUT, FIRST_WITH_TRANSACTION_TIMEOUT, Speaker, config, dial, failure, tls, unreachable};

/// A statement and what to call it; the text may hold a verifier, so it can't be printed.
#[derive(Clone)]
pub(crate) struct Statement {
    text: String,
    label: String,
}

impl Statement {
    /// A statement that is called by its first words.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let keyword = |word: &&str| *word != "IF" && word.bytes().all(|b| b.is_ascii_uppercase());
        let words = text.split_whitespace().take_while(keyword);
        let label = words.take(3).collect::<Vec<_>>().join(" ");
        Self { text, label }
    }

    /// A statement of ours that is called something better than its first words.
    pub(crate) fn labelled(text: impl Into<String>, label: impl Into<String>) -> Self {
        Self { text: text.into(), label: label.into() }
    }
}

/// Why a script failed, and where.
pub(crate) struct ScriptError {
    pub(crate) failure: Failure,
    /// The character that the server's error is about, counted from 1.
    pub(crate) character: Option<u32>,
    /// How many of its statements were done.
    pub(crate) done: usize,
}

/// A session with a server.
pub(crate) struct Session {
    client: Client,
    warnings: Arc<Mutex<Vec<String>>>,
    connection: JoinHandle<()>,
    database: String,
    sorts_otherwise: bool,
    tenure: Tenure,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Session {
    /// Opens a session.
    pub(crate) async fn open(
        address: &Address,
        tls: &Tls,
        user: &str,
        password: &Password,
        database: &str,
        speaker: Speaker,
        writer: &Writer,
    ) -> Result<Self, Failure> {
        let mut config = config(user, password, database, speaker, writer);
        config.ssl_mode(tls::ssl_mode(tls));
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let opening = async {
            let stream = dial(address).await.map_err(|error| unreachable(&error))?;
            let opened = match tls::connector(tls, &address.host) {
                Some(connector) => connect(&config, Guarded::before_tls(stream), connector, &warnings).await,
                None => connect(&config, Guarded::from_start(stream), NoTls, &warnings).await,
            };
            opened.map_err(|error| failure(&error))
        };
        // What listens there may never say a word.
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| Err(silence()));
        let Opened { client, connection, version } = opened.map_err(|failure| within(database, failure))?;
        let database = database.to_owned();
        let tenure = writer.tenure.clone();
        let mut session =
            Self { client, warnings, connection, database, sorts_otherwise: false, tenure, _permit: None };
        if speaker.is_administrative() && version >= FIRST_WITH_TRANSACTION_TIMEOUT {
            session.send_ahead("SET transaction_timeout = 0");
        }
        session.sorts_otherwise = session.begun(user).await?;
        tracing::debug!(database = session.database, user, "connected");
        Ok(session)
    }

    /// The same, keeping its part of a budget as long as it lasts.
    pub(crate) fn in_turn(self, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { _permit: permit, ..self }
    }

    /// The database that it is in.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Whether the system sorts text otherwise than when the database was made.
    pub(super) fn sorts_otherwise(&self) -> bool {
        self.sorts_otherwise
    }

    /// Whether the server is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Sends a statement that can't fail; whatever is sent next comes after it.
    fn send_ahead(&self, statement: &str) {
        // The first poll sends it. Nobody waits for the answer.
        drop(self.client.simple_query(statement).now_or_never());
    }

    /// Sends statements one after another without waiting, each with its own outcome.
    pub(crate) async fn run(&self, statements: &[Statement]) -> Result<(), Failure> {
        self.send(statements).await.map(drop)
    }

    /// Sends the statements of a transaction; it is committed only when none of them failed or warned.
    pub(crate) async fn transaction(&self, statements: &[Statement]) -> Result<(), Failure> {
        let mut all = vec![Statement::new("BEGIN")];
        all.extend_from_slice(statements);
        match self.send(&all).await {
            Ok(_) => self.run(&[Statement::new("COMMIT")]).await,
            Err(failure) => {
                // A rollback that fails means that the session is gone, and the transaction with it.
                let _ = self.client.simple_query("ROLLBACK").await;
                self.take_warnings();
                Err(failure)
            }
        }
    }

    /// The first column of the rows of one of our own statements.
    pub(crate) async fn column(&self, statement: &Statement) -> Result<Vec<String>, Failure> {
        let messages = self.send(std::slice::from_ref(statement)).await?;
        Ok(messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect())
    }

    /// The rows of a catalog query.
    pub(crate) async fn query(
        &self,
        text: impl AsRef<str>,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        self.tenure.check()?;
        // What has no parameters need not be prepared first: that saves waiting for the server once.
        let rows = match parameters {
            [] => self.client.query_typed(text.as_ref(), &[]).await,
            parameters => self.client.query(text.as_ref(), parameters).await,
        };
        tracing::trace!(database = self.database, query = text.as_ref(), succeeded = rows.is_ok(), "asked");
        rows.map_err(|error| within(&self.database, failure(&error).within("SELECT")))
    }

    /// Sends catalog queries one after another without waiting; their answers come in the same order.
    pub(crate) fn ask(&self, queries: impl IntoIterator<Item = impl Into<String>>) -> Answers<'_> {
        Answers { pending: queries.into_iter().map(|query| self.query(query.into(), &[]).boxed()).collect() }
    }

    /// Runs a script that is not ours; what it makes the server say is nothing to us, unless it fails.
    pub(crate) async fn script(&self, text: &str) -> Result<(), ScriptError> {
        let mut done = 0;
        self.tenure.check().map_err(|failure| ScriptError { failure, character: None, done })?;
        let ran = async {
            let mut messages = std::pin::pin!(self.client.simple_query_raw(text).await?);
            while let Some(message) = messages.try_next().await? {
                done += usize::from(matches!(message, SimpleQueryMessage::CommandComplete(_)));
            }
            Ok(())
        };
        let ran: Result<(), tokio_postgres::Error> = ran.await;
        self.take_warnings();
        tracing::debug!(database = self.database, succeeded = ran.is_ok(), "script");
        ran.map_err(|error| {
            let position = error.as_db_error().and_then(|error| error.position());
            let character = match position {
                Some(ErrorPosition::Original(character)) => Some(*character),
                _ => None,
            };
            // The hints of our own statements speak of the administrator.
            let hint = error.as_db_error().and_then(|error| error.hint()).map(str::to_owned);
            let failure = failure(&error);
            let hint = if failure.code.is_some() { hint } else { failure.hint.clone() };
            ScriptError { failure: within(&self.database, Failure { hint, ..failure }), character, done }
        })
    }

    async fn send(&self, statements: &[Statement]) -> Result<Vec<SimpleQueryMessage>, Failure> {
        self.tenure.check()?;
        let outcomes = join_all(statements.iter().map(|statement| self.client.simple_query(&statement.text))).await;
        let mut messages = Vec::new();
        for (statement, outcome) in statements.iter().zip(outcomes) {
            match outcome {
                Ok(answer) => {
                    tracing::debug!(database = self.database, statement = statement.label, "done");
                    messages.extend(answer);
                }
                Err(error) => {
                    tracing::debug!(database = self.database, statement = statement.label, "failed");
                    self.take_warnings();
                    return Err(within(&self.database, failure(&error).within(&statement.label)));
                }
            }
        }
        let label = statements.first().map_or("", |statement| statement.label.as_str());
        self.no_warning(label)?;
        Ok(messages)
    }

    fn no_warning(&self, label: &str) -> Result<(), Failure> {
        match self.take_warnings().first() {
            None => Ok(()),
            Some(warning) => {
                let hint = if warning.starts_with("no privileges could be revoked") {
                    "who owns that granted it, and takes it back: as that one or as a superuser REVOKE it, or give the \
                     thing to the tenant"
                } else {
                    "a warning here means that a statement had no effect"
                };
                let failure = Failure::new(FailureKind::Rejected, format!("the server warned: {warning}")).hint(hint);
                Err(within(&self.database, failure.within(label)))
            }
        }
    }

    pub(super) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the session and waits until it is gone, so that its connection is free for others.
    pub(crate) async fn close(self) {
        drop(self.client);
        // The connection ends by itself once its client is gone; how it ended no longer matters.
        let _ = self.connection.await;
    }
}

/// The answers to several queries.
pub(crate) struct Answers<'a> {
    pending: FuturesOrdered<BoxFuture<'a, Result<Vec<Row>, Failure>>>,
}

impl Answers<'_> {
    /// The rows of the next query; none when there was no other.
    pub(crate) async fn next(&mut self) -> Result<Vec<Row>, Failure> {
        Ok(self.pending.try_next().await?.unwrap_or_default())
    }
}

fn silence() -> Failure {
    let seconds = CONNECT_TIMEOUT.as_secs();
    Failure::new(FailureKind::Unreachable, format!("what listens there gave no answer within {seconds} s")).hint(
        "check host and port, whether the server is overloaded or only starting, and who locks the database (pg_locks)",
    )
}

fn within(database: &str, failure: Failure) -> Failure {
    failure.within(format!("database {database}"))
}

/// A connection that was just opened.
struct Opened {
    client: Client,
    connection: JoinHandle<()>,
    /// The server's major version, as far as it tells.
    version: u32,
}

async fn connect<T>(
    config: &tokio_postgres::Config,
    stream: Guarded<TcpStream>,
    tls: T,
    warnings: &Arc<Mutex<Vec<String>>>,
) -> Result<Opened, tokio_postgres::Error>
where
    T: TlsConnect<Guarded<TcpStream>>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = config.connect_raw(stream, tls).await?;
    // What the server said while it let us in is there before anybody asks for it.
    let ended = poll_fn(|context| Poll::Ready(listen(&mut connection, context, warnings).is_ready())).await;
    let version = connection.parameter("server_version").map_or(0, major);
    let warnings = warnings.clone();
    let driven = async move {
        if !ended {
            poll_fn(|context| listen(&mut connection, context, &warnings)).await;
        }
    };
    Ok(Opened { client, connection: tokio::spawn(driven), version })
}

/// The major version in what a server calls its version, such as `18.4 (Debian 18.4-1)` or `18beta1`.
fn major(version: &str) -> u32 {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().unwrap_or(0)
}

/// Drives a connection, and keeps the warnings that arrive on it; it is ready when the connection has ended.
fn listen<T>(
    connection: &mut Connection<Guarded<TcpStream>, T>,
    context: &mut Context<'_>,
    warnings: &Mutex<Vec<String>>,
) -> Poll<()>
where
    T: tokio_postgres::tls::TlsStream + Unpin,
{
    loop {
        match ready!(connection.poll_message(context)) {
            Some(Ok(AsyncMessage::Notice(notice))) if notice.severity() == "WARNING" => {
                warnings.lock().unwrap_or_else(PoisonError::into_inner).push(notice.message().to_owned());
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(()),
        }
    }
}
