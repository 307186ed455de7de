//! Questions about many events at once: figures by group, exports, and the places where an answer goes on.
//!
//! Everything here reads the journal through its handle, blocks, and takes memory under a stated bound
//! however much is stored. What a client may ask, and how an answer looks, is for the layers above.

mod cursor;
mod export;
mod figures;
mod summary;
mod table;

pub use cursor::{CursorError, read_cursor, write_cursor};
pub use export::{Column, Encoder, Format};
pub use figures::{EXACT_VALUES, Figures, SKETCH_ERROR};
pub use summary::{RowOrder, Summary, summarise};
pub use table::{Grouping, Row};
