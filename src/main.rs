//! The `observatory` program.

fn main() -> std::process::ExitCode {
    observatory::cli::main()
}
