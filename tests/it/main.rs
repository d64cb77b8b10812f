//! Tests of the built program, through its HTTP faces.
