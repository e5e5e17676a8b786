//! The colours, each with one meaning. They are dropped where nobody sees them (pipes, `NO_COLOR`).

use anstyle::{AnsiColor, Style};

/// What a line is about: a seq, an id.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
/// Keys of JSON objects.
pub(crate) const KEY: Style = AnsiColor::BrightBlue.on_default();
/// What matters less: times, headings, hints.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Done.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Worth a look.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// The one thing to see.
pub(crate) const STRONG: Style = Style::new().bold();
