"""Pure tensor functions: projections, margins, seeding, …; no modules, no state."""
