//! Checks of settings.

use sctp_user_core::ConfigError;

/// Checks settings by rules, each with a sentence that says what is right.
///
/// # Errors
/// The sentence of the first rule that does not hold.
pub fn check_rules(rules: &[(bool, &'static str)]) -> Result<(), ConfigError> {
    match rules.iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, rule)) => Err(ConfigError(rule)),
    }
}
