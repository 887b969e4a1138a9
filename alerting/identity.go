package alerting

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/modelwatch/modelwatch/schemas"
)

// Fingerprint names what is wrong, whenever it is wrong: 32 hex digits of the
// SHA-256 of model, fault and columns. Columns must be sorted. It is equal on
// every machine and for every episode.
func Fingerprint(model string, fault schemas.Fault, columns []string) string {
	sum := sha256.Sum256([]byte(name(append([]string{model, string(fault)}, columns...)...)))
	return hex.EncodeToString(sum[:16])
}

// incidentID names one episode, as in flight-delay-20081104T1405-7c1e: the
// model, the minute of the onset, and as many hex digits as tell it from the
// ids that are taken.
func incidentID(model string, k key, onset int64, taken func(string) bool) string {
	sum := sha256.Sum256([]byte(name(Fingerprint(model, k.Fault, k.Columns), strconv.FormatInt(onset, 10))))
	digits := hex.EncodeToString(sum[:])
	slug := Slug(model)
	n := 4
	if slug != model {
		n = 12 // models whose names look alike once written plainly
	}
	prefix := slug + "-" + moment(onset).Format("20060102T1504") + "-"
	for ; n < len(digits) && taken(prefix+digits[:n]); n += 2 {
	}
	return prefix + digits[:n]
}

// Slug writes a name with letters, digits, '-' and '_' only, so that it can stand
// in an identity that goes into subjects, URLs and shells as it is. Other
// bytes become '_', and more than 64 are cut; it is not reversible.
func Slug(name string) string {
	out := []byte(name[:min(len(name), 64)])
	for i, c := range out {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			continue
		}
		out[i] = '_'
	}
	if len(out) == 0 {
		return "_"
	}
	return string(out)
}
