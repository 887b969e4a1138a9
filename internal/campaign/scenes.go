package campaign

import (
	"slices"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
)

// scenes are all installations of a campaign.
func scenes() []scene {
	return []scene{
		{"together", true, together},
		{"kills", false, killing},
		{"zombies", false, zombies},
		{"late-zombie", false, lateZombie},
		{"servers", false, servers},
		{"leaving", false, leaving},
		{"store", false, stores},
		{"disk", false, diskFull},
		{"offsets", false, offsets},
		{"clock", false, clocks},
		{"log", false, logs},
		{"made-again", false, madeAgain},
		{"retention", false, retention},
		{"open-chunk", false, openChunk},
		{"compacted", false, compacted},
		{"corrupt", false, corrupt},
		{"changes", false, changes},
		{"pressure", false, pressure},
	}
}

// breaking is a scene that is played with a guard broken.
type breaking struct {
	guard faultpoint.Guard
	short bool
	play  func(*stage)
}

// broken are the guards with the hurts that each of them holds against.
func broken() []breaking {
	return []breaking{
		{faultpoint.VersionIgnored, false, lateZombie},
		{faultpoint.ProgressFirst, false, openChunk},
		{faultpoint.CommitDecides, false, fewKills},
		{faultpoint.DedupByTime, false, publishedAgain},
		{faultpoint.OutboxUnmarked, false, publishedAgain},
		{faultpoint.EpochFixed, false, madeAgain},
	}
}

// breakGuard plays a scene with a guard broken: it must not end well.
func (c *Campaign) breakGuard(g *ground, b breaking) {
	st, problems := c.stage(g, scene{name: string(b.guard), play: b.play}, 0, b.guard)
	guard := Guard{Name: string(b.guard), Scene: st.name}
	if found := slices.Concat(st.verdict.differences, problems); len(found) > 0 {
		guard.Noticed, guard.How = true, found[0]
	}
	c.report.Guards = append(c.report.Guards, guard)
	g.Logf("%s: noticed %t, by %d differences", st.name, guard.Noticed, len(st.verdict.differences))
}
