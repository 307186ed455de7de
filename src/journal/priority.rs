//! Work in the background gives way to work that somebody waits for.

/// How much a thread gives way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Priority {
    /// Nobody waits for it. It gets about a tenth of a core that others want too, so that it never stands
    /// still while it holds what they wait for.
    Background = 10,
    /// Somebody waits for a long answer. It gets about a third.
    Question = 5,
}

/// Lowers the priority of the calling thread for good. Where that would lower the whole process, nothing
/// happens; nor is it an error if the system does not let us.
pub(super) fn lower(to: Priority) {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(to as i32);
    #[cfg(not(target_os = "linux"))]
    let _ = to;
}
