//! Reading the text formats.
