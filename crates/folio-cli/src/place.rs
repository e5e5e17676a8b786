//! Which store is meant: a folder or an address, from flags, then the environment.

use std::path::PathBuf;

use clap::Args;

use crate::failure::{Failure, Result};

/// The folder that is used when nothing else is said.
pub(crate) const DEFAULT_ROOT: &str = "./folio-data";

/// Flags that every command takes.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Work on this folder of projects [env: FOLIO_ROOT] [default: ./folio-data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) root: Option<PathBuf>,

    /// Work through the daemon at this address instead, such as http://127.0.0.1:7460 [env: FOLIO_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub(crate) url: Option<String>,

    /// Wait so many seconds for a folder that another command is using
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 5, help_heading = "Global options")]
    pub(crate) wait: u16,

    /// For scripts: one JSON value on stdout, or one a line; errors as one JSON object on stderr
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

/// Where the store is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// A folder.
    Root(PathBuf),
    /// A daemon.
    Url(String),
}

impl Place {
    /// A flag goes before the environment, and the environment before the default.
    pub(crate) fn choose(flags: &Global, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name| env(name).filter(|value| !value.is_empty());
        match (&flags.root, &flags.url, set("FOLIO_ROOT"), set("FOLIO_URL")) {
            (Some(_), Some(_), ..) => Err(Failure::usage("--root and --url name two stores; give one of them")),
            (Some(root), None, ..) => Ok(Self::Root(root.clone())),
            (None, Some(url), ..) => Ok(Self::Url(url.clone())),
            (None, None, Some(_), Some(_)) => Err(Failure::usage(
                "FOLIO_ROOT and FOLIO_URL are both set and name two stores; give --root or --url, or unset one",
            )),
            (None, None, Some(root), None) => Ok(Self::Root(root.into())),
            (None, None, None, Some(url)) => Ok(Self::Url(url)),
            (None, None, None, None) => Ok(Self::Root(DEFAULT_ROOT.into())),
        }
    }

    /// For a command that works on a folder itself and names it as an argument, or by the flags.
    pub(crate) fn root(argument: Option<PathBuf>, flags: &Global, env: impl Fn(&str) -> Option<String>) -> Result<PathBuf> {
        match (argument, &flags.root, &flags.url) {
            (_, _, Some(_)) => Err(Failure::usage("this command works on a folder; --url cannot be given here")),
            (Some(argument), Some(root), None) if argument != *root => {
                Err(Failure::usage("ROOT and --root name two folders; give one of them"))
            }
            (Some(argument), ..) => Ok(argument),
            (None, Some(root), None) => Ok(root.clone()),
            (None, None, None) => {
                Ok(env("FOLIO_ROOT").filter(|root| !root.is_empty()).unwrap_or_else(|| DEFAULT_ROOT.into()).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(root: Option<&str>, url: Option<&str>) -> Global {
        Global { root: root.map(Into::into), url: url.map(Into::into), wait: 0, json: false }
    }

    #[test]
    fn flags_go_before_the_environment() {
        let root = |path: &str| Some(Place::Root(path.into()));
        let url = |text: &str| Some(Place::Url(text.into()));
        // (--root, --url, FOLIO_ROOT, FOLIO_URL) -> place, or a refusal
        let rows = [
            (None, None, None, None, root("./folio-data")),
            (Some("a"), None, Some("b"), Some("u"), root("a")),
            (None, Some("u"), Some("b"), Some("v"), url("u")),
            (None, None, Some("b"), None, root("b")),
            (None, None, Some(""), Some("v"), url("v")),
            (None, None, Some("b"), Some("v"), None),
            (Some("a"), Some("u"), None, None, None),
        ];
        for (flag_root, flag_url, env_root, env_url, wanted) in rows {
            let env = |name: &str| if name == "FOLIO_ROOT" { env_root } else { env_url }.map(str::to_owned);
            let got = Place::choose(&flags(flag_root, flag_url), env).ok();
            assert_eq!(got, wanted, "{flag_root:?} {flag_url:?} {env_root:?} {env_url:?}");
        }
    }

    #[test]
    fn a_root_argument_goes_before_all() {
        let env = |_: &str| Some("e".to_owned());
        let root = |argument: Option<&str>, flags: &Global| Place::root(argument.map(Into::into), flags, env).ok();
        assert_eq!(root(Some("a"), &flags(None, None)), Some("a".into()));
        assert_eq!(root(None, &flags(Some("b"), None)), Some("b".into()));
        assert_eq!(root(None, &flags(None, None)), Some("e".into()));
        assert_eq!(root(Some("a"), &flags(Some("b"), None)), None);
        assert_eq!(root(None, &flags(None, Some("u"))), None);
    }
}
