//! Why a call gave nothing: whose fault it is, whether to try again, and what to do.

use std::fmt;

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No answer: not reachable, or not in time. Try again later.
    Unreachable,
    /// The frontend or its database fails by itself. Try again later.
    Failing,
    /// The call was for more than the frontend can hold or do in its time. Ask for less.
    TooMuch,
    /// User, password, session or token are not taken. Nothing changes until someone acts.
    Credentials,
    /// The user may not call this, or the call is wrong for this server. Never tried again as it is.
    Refused,
}

impl ErrorKind {
    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Failing => "failing",
            Self::TooMuch => "too_much",
            Self::Credentials => "credentials",
            Self::Refused => "refused",
        }
    }
}

/// A call that gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What it means.
    pub kind: ErrorKind,
    /// Method that was called.
    pub method: String,
    /// Address of the frontend, without user and password.
    pub url: String,
    /// Code of the JSON-RPC error, where there was one.
    pub code: Option<i64>,
    /// What the server said, on one line.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<&'static str>,
}

impl ApiError {
    /// Whether the same call may work later without anyone's doing.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::Failing | ErrorKind::TooMuch)
    }
}

impl std::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at {}: {}", self.method, self.url, self.message)?;
        if let Some(code) = self.code {
            write!(f, " ({code})")?;
        }
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Kind of an error that the API told, and what to do. `header` says whether the session went by header.
pub(super) fn classify(code: i64, text: &str, header: bool, token: bool) -> (ErrorKind, Option<&'static str>) {
    let lower = text.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if has(&["re-login", "not authori", "session terminated", "token expired", "api token"]) {
        let hint = match (token, header) {
            (true, true) => {
                "check that the token is valid and enabled; if it is, the web server drops the header `Authorization`: \
                 for Apache set `CGIPassAuth On`"
            }
            (true, false) => "check that the token is valid, enabled and not expired",
            (false, _) => "the session ended and a new one is not taken; check the user in Zabbix",
        };
        return (ErrorKind::Credentials, Some(hint));
    }
    if has(&["incorrect user name or password", "login name or password is incorrect", "temporarily blocked"]) {
        return (
            ErrorKind::Credentials,
            Some("check `user` and `password`; five wrong logins block the user for 30 s"),
        );
    }
    if has(&["no api access", "gui access disabled"]) {
        return (ErrorKind::Credentials, Some("enable the user's access to the API in his role and group"));
    }
    if has(&["no permissions to call", "you do not have permission"]) {
        return (ErrorKind::Refused, Some("allow this method in the role of the user (Users > User roles > API)"));
    }
    if has(&["sql statement execution", "error connecting to database", "database error", "sql error", "dbexecute"]) {
        return (ErrorKind::Failing, Some("the database of the frontend fails; see the log of the web server"));
    }
    if has(&["allowed memory size", "maximum execution time"]) {
        return (ErrorKind::TooMuch, None);
    }
    match code {
        -32500 | -32400 | -32300 | -32603 => (ErrorKind::Failing, None),
        _ => (ErrorKind::Refused, None),
    }
}

/// `text` on one line, cut to a length that can be shown.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_real_texts() {
        let kind = |code, text| classify(code, text, false, false).0;
        assert_eq!(kind(-32602, "Invalid params. Session terminated, re-login, please."), ErrorKind::Credentials);
        assert_eq!(kind(-32602, "Invalid params. Not authorised."), ErrorKind::Credentials);
        assert_eq!(
            kind(-32500, "Application error. Incorrect user name or password or account is temporarily blocked."),
            ErrorKind::Credentials
        );
        assert_eq!(kind(-32602, "Invalid params. No permissions to call \"usermacro.get\"."), ErrorKind::Refused);
        assert_eq!(
            kind(-32500, "Application error. SQL statement execution has failed \"SELECT\"."),
            ErrorKind::Failing
        );
        assert_eq!(kind(-32601, "Method not found. Incorrect API \"nosuch\"."), ErrorKind::Refused);
        assert_eq!(kind(-32602, "Invalid parameter \"/\": unexpected parameter \"auth\"."), ErrorKind::Refused);
        let (_, hint) = classify(-32602, "Not authorized.", true, true);
        assert!(hint.is_some_and(|hint| hint.contains("CGIPassAuth")));
    }
}
