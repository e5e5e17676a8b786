//! `--if-match` and `--if-absent`.

use clap::Args;
use folio::WriteCondition;

use crate::failure::Result;

/// When a write may happen.
#[derive(Args, Debug)]
pub(crate) struct WriteIf {
    /// Only if what is stored has this ETag; `*`: only if something is stored
    #[arg(long, value_name = "ETAG", conflicts_with = "if_absent")]
    if_match: Option<String>,
    /// Only if nothing is stored
    #[arg(long)]
    if_absent: bool,
}

impl WriteIf {
    /// As the contract has it.
    pub(crate) fn condition(&self) -> Result<WriteCondition> {
        if self.if_absent { Ok(WriteCondition::Absent) } else { matching(self.if_match.as_deref()) }
    }
}

/// When a delete may happen.
#[derive(Args, Debug)]
pub(crate) struct DeleteIf {
    /// Only if what is stored has this ETag; `*`: only if something is stored
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl DeleteIf {
    /// As the contract has it.
    pub(crate) fn condition(&self) -> Result<WriteCondition> {
        matching(self.if_match.as_deref())
    }
}

fn matching(etag: Option<&str>) -> Result<WriteCondition> {
    Ok(match etag {
        None => WriteCondition::None,
        Some("*") => WriteCondition::Exists,
        // as HTTP writes it, in quotes, or bare
        Some(text) => WriteCondition::Match(text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text).parse()?),
    })
}
