//! Rooms of a LiveKit server. In: a stream. Out: its picture and its sound, published in a room by the
//! gateway's own participant.
