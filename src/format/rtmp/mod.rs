//! RTMP's chunks, for those who take publishes and for those who make them. Not here: the dialogue, which
//! differs, and what the messages hold (`flv`).

pub mod chunk;
