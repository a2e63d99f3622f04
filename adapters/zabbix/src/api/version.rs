//! Versions of a Zabbix server, and what they mean for a request.

use std::fmt;
use std::str::FromStr;

/// Major and minor version: the third number never changes the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// As 6 in `6.0.14`.
    pub major: u16,
    /// As 0 in `6.0.14`.
    pub minor: u16,
}

impl Version {
    /// The oldest version that is supported.
    pub const OLDEST: Self = Self::new(5, 0);

    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Whether `user.login` takes `username` (5.4 and later) in place of `user`.
    #[must_use]
    pub fn has_username(self) -> bool {
        self >= Self::new(5, 4)
    }

    /// Whether there are API tokens (5.4 and later).
    #[must_use]
    pub fn has_tokens(self) -> bool {
        self >= Self::new(5, 4)
    }

    /// Whether the session goes into the header `Authorization` (6.4 and later).
    #[must_use]
    pub fn takes_header(self) -> bool {
        self >= Self::new(6, 4)
    }

    /// Whether the session may still stand in the member `auth` of a request (removed in 7.2).
    #[must_use]
    pub fn takes_auth_member(self) -> bool {
        self < Self::new(7, 2)
    }

    /// Whether items carry tags (5.4 and later) in place of applications.
    #[must_use]
    pub fn has_item_tags(self) -> bool {
        self >= Self::new(5, 4)
    }

    /// Whether trigger expressions are `last(/host/key)>1` (5.4 and later) in place of `{host:key.last()}>1`.
    #[must_use]
    pub fn has_new_expressions(self) -> bool {
        self >= Self::new(5, 4)
    }

    /// Whether groups of a host are asked for by `selectHostGroups` (6.2 and later).
    #[must_use]
    pub fn has_host_groups(self) -> bool {
        self >= Self::new(6, 2)
    }

    /// Whether `history.push` exists (7.0 and later).
    #[must_use]
    pub fn has_history_push(self) -> bool {
        self >= Self::new(7, 0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads `6.0.14`, `7.0.0rc1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse::<u16>().ok()
        });
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(format!("`{}` is no version of Zabbix", text.chars().take(40).collect::<String>())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_compares() {
        let read = |text: &str| text.parse::<Version>();
        assert_eq!(read("6.0.14"), Ok(Version::new(6, 0)));
        assert_eq!(read("7.0.0rc1"), Ok(Version::new(7, 0)));
        assert_eq!(read("7.2beta1"), Ok(Version::new(7, 2)));
        assert!(read("6").is_err() && read("").is_err() && read("a.b").is_err());
        assert!(!Version::new(6, 2).takes_header() && Version::new(6, 4).takes_header());
        assert!(Version::new(7, 0).takes_auth_member() && !Version::new(7, 2).takes_auth_member());
        assert!(!Version::new(5, 2).has_username() && Version::new(5, 4).has_username());
    }
}
