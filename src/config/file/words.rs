//! Keys whose value is one of a few words.

use super::read::{Read, Value};
use crate::config::error::Problems;
use crate::config::{
    Balance, Identity, Level, LogFormat, LogLevel, OnDown, SendProxy, VrrpChecksum,
};

/// `type` of `[pool.NAME.check]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CheckType {
    Tcp,
    Amqp,
    Http,
    None,
}

macro_rules! words {
    ($($type:ident { $($word:literal => $variant:ident,)* })*) => {$(
        impl Read for $type {
            fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
                value.word(&[$(($word, Self::$variant)),*], problems)
            }
        }
    )*};
}

words! {
    LogFormat {
        "auto" => Auto,
        "text" => Text,
        "json" => Json,
        "journal" => Journal,
    }
    LogLevel {
        "error" => Error,
        "warn" => Warn,
        "info" => Info,
        "debug" => Debug,
        "trace" => Trace,
    }
    Level {
        "user" => User,
        "operator" => Operator,
        "admin" => Admin,
    }
    Identity {
        "haproxy" => Haproxy,
        "warren" => Warren,
    }
    Balance {
        "leastconn" => Leastconn,
        "roundrobin" => Roundrobin,
        "random" => Random,
        "source" => Source,
        "first" => First,
    }
    OnDown {
        "reset" => Reset,
        "keep" => Keep,
    }
    VrrpChecksum {
        "auto" => Auto,
        "rfc5798" => Rfc5798,
        "rfc9568" => Rfc9568,
    }
    SendProxy {
        "off" => Off,
        "v1" => V1,
        "v2" => V2,
    }
    CheckType {
        "tcp" => Tcp,
        "amqp" => Amqp,
        "http" => Http,
        "none" => None,
    }
}
