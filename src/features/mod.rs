//! One file per resource of the control face: its routes, its handlers, its queries.
