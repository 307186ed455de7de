//! Roles and sets of them.

use std::{fmt, str::FromStr};

/// What a token may be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Send events.
    Ingest,
    /// Ask questions, and scrape if scraping needs a token.
    Read,
    /// Reload and operate; includes `ingest` and `read`.
    Control,
    /// Manage tokens; includes everything.
    Admin,
}

/// A set of roles, with all that they include.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Roles(u8);

/// A word that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: roles are ingest, read, control and admin")]
pub struct ParseRolesError(pub String);

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Control, Self::Admin];

    /// The role as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Control => "control",
            Self::Admin => "admin",
        }
    }

    /// The role and what it includes.
    const fn bits(self) -> u8 {
        match self {
            Self::Ingest => 0b0001,
            Self::Read => 0b0010,
            Self::Control => 0b0111,
            Self::Admin => 0b1111,
        }
    }

    const fn own_bit(self) -> u8 {
        match self {
            Self::Ingest => 0b0001,
            Self::Read => 0b0010,
            Self::Control => 0b0100,
            Self::Admin => 0b1000,
        }
    }
}

impl FromStr for Role {
    type Err = ParseRolesError;

    fn from_str(text: &str) -> Result<Self, ParseRolesError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| ParseRolesError(text.to_owned()))
    }
}

impl Roles {
    /// Every role.
    pub const ALL: Self = Self(Role::Admin.bits());

    /// Whether `role` is among them, or included in one of them.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.own_bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles, the least first, included ones too.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |it| self.contains(*it))
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(role.bits())
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |acc, it| acc | it.bits()))
    }
}

impl FromStr for Roles {
    type Err = ParseRolesError;

    /// Reads a comma list: `ingest,read`.
    fn from_str(text: &str) -> Result<Self, ParseRolesError> {
        text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(Role::from_str).collect()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Role::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roles({self})")
    }
}
