//! *pure* What can be wanted of whoever changes the configuration and what is served of it.

use std::fmt::{self, Display};

use crate::config::{SendProxy, Server};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To read the configuration again and apply it.
    Apply,
    /// To be told what that would change.
    Show,
    /// One more server for the pool of this name, in maintenance at first.
    Add(String, Box<Server>),
    /// A server less: the pool, and its name there. It has to be in maintenance, without
    /// connections.
    Delete(String, String),
    /// That the listener of this name takes clients.
    Open(String),
    /// That the listener of this name takes none, until it is opened.
    Close(String),
}

impl Wish {
    /// Whether it has to do with the configuration file.
    #[must_use]
    pub const fn is_about_the_file(&self) -> bool {
        matches!(self, Self::Apply | Self::Show)
    }
}

/// As it stands in the log.
impl Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply => f.write_str("reload"),
            Self::Show => f.write_str("diff"),
            Self::Add(pool, server) => {
                let Server {
                    name,
                    address,
                    weight,
                    max_connections,
                    backup,
                    send_proxy,
                } = &**server;
                write!(f, "add server {pool}/{name} {address} weight {weight}")?;
                write!(f, " maxconn {max_connections}")?;
                f.write_str(if *backup { " backup" } else { "" })?;
                f.write_str(match send_proxy {
                    SendProxy::Off => "",
                    SendProxy::V1 => " send-proxy",
                    SendProxy::V2 => " send-proxy-v2",
                })
            }
            Self::Delete(pool, server) => write!(f, "del server {pool}/{server}"),
            Self::Open(listener) => write!(f, "enable frontend {listener}"),
            Self::Close(listener) => write!(f, "disable frontend {listener}"),
        }
    }
}
