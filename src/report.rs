//! Pages for people: one self-contained HTML file with tables and plots, light and dark.
//!
//! | module | holds |
//! | --- | --- |
//! | [`page`] | the page: style, sections, figures |
//! | [`table`] | a table for the terminal, for Markdown and for a page |
//! | [`plot`] | a plot of one series as inline SVG |
//! | [`trace`] | any number of samples in the width of a plot |
//! | [`words`] | numbers, spans and times as people read them |

pub mod page;
pub mod plot;
pub mod table;
pub mod trace;
pub mod words;

pub use page::Page;
pub use plot::Plot;
pub use table::{Cell, Table};
pub use trace::Trace;
