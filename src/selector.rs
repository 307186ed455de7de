//! The one matching language.

/// A compiled selector, such as `ci_build_completed{status!="skipped", tests_failed > 0}`.
#[derive(Clone, Debug)]
pub struct Selector;
