//! `writ run`.

use super::{CommandError, ConfigArgs, Outcome};
use crate::config::Config;
use crate::{roles, telemetry};

pub(super) fn run(args: &ConfigArgs) -> Result<Outcome, CommandError> {
    let (config, text) = Config::read(&args.config).map_err(CommandError::input)?;
    config.check_credentials(&args.config).map_err(CommandError::input)?;
    config.check_kernel(&args.config).map_err(CommandError::input)?;
    config.check_accounts(&args.config).map_err(CommandError::input)?;
    telemetry::start(&config.log);
    match roles::supervise(&config, text) {
        Ok(()) => Ok(Outcome::Done),
        Err(error) if error.is_setup() => Err(CommandError::input(error)),
        Err(error) => Err(CommandError::failed(error)),
    }
}
