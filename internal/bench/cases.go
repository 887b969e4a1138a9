package bench

// like is the usual case with one thing changed.
func like(change func(*Case)) Case {
	c := Case{Shape: Shape{Kind: Features, Features: 20, Models: 1}, Codec: "lz4", Partitions: 1}
	change(&c)
	return c
}

// FullCases are the lines of the whole table. Each differs from the first of
// its width in one thing, so that cases can be told by it.
func FullCases() []Case {
	return []Case{
		like(func(*Case) {}),
		like(func(c *Case) { c.Slices = 1 }),
		like(func(c *Case) { c.Slices = 3 }),
		like(func(c *Case) { c.Models = 8 }),
		like(func(c *Case) { c.Partitions = 2 }),
		like(func(c *Case) { c.Partitions = 4 }),
		like(func(c *Case) { c.Codec = "none" }),
		like(func(c *Case) { c.Codec = "zstd" }),
		like(func(c *Case) { c.Kind = Predictions }),
		like(func(c *Case) { c.Kind, c.Sample = Predictions, .1 }),
		like(func(c *Case) { c.Features = 100 }),
		like(func(c *Case) { c.Features, c.Slices = 100, 1 }),
		like(func(c *Case) { c.Features, c.Slices = 100, 3 }),
		like(func(c *Case) { c.Features, c.Models = 100, 8 }),
	}
}

// ScaleCases have one, four and sixteen times the work of each kind. Slice
// columns need a wide row: one of 20 features has three that will do.
func ScaleCases() []Case {
	out := []Case{like(func(*Case) {})}
	for _, times := range []int{4, 16} {
		out = append(out,
			like(func(c *Case) { c.Features *= times }),
			like(func(c *Case) { c.Partitions *= times }),
			like(func(c *Case) { c.Models *= times }))
	}
	for _, n := range []int{0, 1, 4, 16} {
		out = append(out, like(func(c *Case) { c.Features, c.Slices = 100, n }))
	}
	return out
}
