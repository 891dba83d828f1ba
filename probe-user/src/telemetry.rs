//! Log lines: to the journal, or as JSON or text on standard error. Set up once by each process.
//!
//! Nothing that identifies a target is ever given to a log macro: code that knows one says "slot 3".

use crate::config::{Log, LogLevel, LogTarget};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging for this process. A journal that cannot be reached falls back to JSON on standard error and says so.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let registry = tracing_subscriber::registry().with(level);
    let json = || tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
    match log.to {
        LogTarget::Text => registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr)).init(),
        LogTarget::Json => registry.with(json()).init(),
        LogTarget::Journald => match tracing_journald::layer() {
            Ok(layer) => registry.with(layer).init(),
            Err(error) => {
                registry.with(json()).init();
                tracing::warn!(%error, "the journal cannot be reached: logging to standard error instead");
            }
        },
    }
}
