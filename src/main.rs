//! The `observatory` program.

fn main() {}
