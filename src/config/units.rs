//! Values with units: "250ms", "64k".
