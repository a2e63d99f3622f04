//! Who calls: version, token or session, and how they go into a request.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use watchbell_adapter_api::Secret;

use super::error::{ApiError, ErrorKind};
use super::version::Version;
use super::{Api, LOGINS};

/// How long after a refused login there is no other: five of them block a user.
const LOGIN_PAUSE: Duration = Duration::from_secs(60);

/// How a caller proves who he is.
#[derive(Debug)]
pub(super) enum Login {
    Token(Source),
    Password { user: String, password: Source },
}

/// Where a secret stands.
#[derive(Debug)]
pub(super) enum Source {
    Text(Secret),
    File(PathBuf),
}

impl Source {
    fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::File(path) => Secret::from_file(path),
        }
    }
}

/// What is known of the server and of us.
#[derive(Debug, Default)]
pub(super) struct Session {
    version: Option<Version>,
    /// The version that was told last: it is asked for again whenever a session is not taken.
    told: Option<Version>,
    secret: Option<Secret>,
    refused: Option<(Instant, ApiError)>,
}

/// How one request is made.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub(super) version: Version,
    pub(super) secret: Secret,
    /// Whether the secret goes into the header `Authorization`, else into the member `auth`.
    pub(super) by_header: bool,
}

impl Api {
    /// The server's version, asked for once.
    ///
    /// # Errors
    /// The frontend does not answer, or it is too old.
    pub async fn version(&self) -> Result<Version, ApiError> {
        let mut session = self.shared.session.lock().await;
        self.find_version(&mut session).await
    }

    async fn find_version(&self, session: &mut Session) -> Result<Version, ApiError> {
        if let Some(version) = session.version {
            return Ok(version);
        }
        let method = "apiinfo.version";
        let text: String = self.post(method, &json!([]), None).await?;
        let version: Version =
            text.parse().map_err(|message: String| self.error(method, ErrorKind::Failing, message))?;
        if version < Version::OLDEST {
            let message = format!("this is Zabbix {text}; 5.0 and later are supported");
            return Err(self.error(method, ErrorKind::Refused, message));
        }
        if session.told.replace(version) != Some(version) {
            tracing::info!(url = self.url(), version = text, "Zabbix answers");
        }
        session.version = Some(version);
        Ok(version)
    }

    /// What the next request carries; logs in where that is needed.
    pub(super) async fn pass(&self) -> Result<Pass, ApiError> {
        let mut session = self.shared.session.lock().await;
        let version = self.find_version(&mut session).await?;
        let by_header = version.takes_header() && !self.shared.front_auth;
        if !by_header && !version.takes_auth_member() {
            let error =
                self.error("user.login", ErrorKind::Refused, "two credentials for one header `Authorization`".into());
            let hint = "from Zabbix 7.2 on the web server in front can not ask for credentials of its own; remove \
                        `http.basic_auth` and let this machine in without";
            return Err(ApiError { hint: Some(hint), ..error });
        }
        let secret = match &session.secret {
            Some(secret) => secret.clone(),
            None => self.log_in(version, &mut session).await?,
        };
        session.secret = Some(secret.clone());
        Ok(Pass { version, secret, by_header })
    }

    async fn log_in(&self, version: Version, session: &mut Session) -> Result<Secret, ApiError> {
        let method = "user.login";
        let unreadable = |message| self.error(method, ErrorKind::Credentials, message);
        let (user, password) = match &self.shared.login {
            Login::Token(_) if !version.has_tokens() => {
                let message = format!("Zabbix {version} has no API tokens");
                let error = self.error(method, ErrorKind::Credentials, message);
                return Err(ApiError { hint: Some("set `user` and `password` in place of the token"), ..error });
            }
            Login::Token(source) => return source.read().map_err(unreadable),
            Login::Password { user, password } => (user, password.read().map_err(unreadable)?),
        };
        if let Some((at, error)) = &session.refused
            && at.elapsed() < LOGIN_PAUSE
        {
            return Err(error.clone());
        }
        let name = if version.has_username() { "username" } else { "user" };
        let params = json!({name: user, "password": password.reveal()});
        self.count(|told| told.metrics.counter(&LOGINS, &[&told.component]).inc());
        match self.post::<String>(method, &params, None).await {
            Ok(secret) => {
                session.refused = None;
                Ok(Secret::new(secret))
            }
            Err(error) => {
                if matches!(error.kind, ErrorKind::Credentials | ErrorKind::Refused) {
                    session.refused = Some((Instant::now(), error.clone()));
                }
                Err(error)
            }
        }
    }

    /// A request with `pass` was not taken: what is known is forgotten, unless another call did so already. The
    /// version too, as an upgrade may be the cause.
    pub(super) async fn forget(&self, pass: &Pass) {
        let mut session = self.shared.session.lock().await;
        if session.secret.as_ref() == Some(&pass.secret) {
            session.secret = None;
            session.version = None;
        }
    }

    /// Ends the session, if there is one by user and password: sessions that nobody ends fill a table of Zabbix.
    pub async fn log_out(&self) {
        let secret = {
            let mut session = self.shared.session.lock().await;
            let version = session.version;
            session.secret.take().zip(version)
        };
        if let (Login::Password { .. }, Some((secret, version))) = (&self.shared.login, secret) {
            let by_header = version.takes_header() && !self.shared.front_auth;
            let pass = Pass { version, secret, by_header };
            // It may have ended by itself, and the server may be gone: neither matters any more.
            let _ = self.post::<Value>("user.logout", &json!([]), Some(&pass)).await;
        }
    }

    /// Whether a token is used rather than user and password.
    pub(super) fn has_token(&self) -> bool {
        matches!(self.shared.login, Login::Token(_))
    }
}
