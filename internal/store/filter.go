package store

import (
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// filter gathers the conditions of a query with their bound values. The
// conditions are texts of this package; what comes from outside is bound.
type filter struct {
	conditions []string
	values     bound
}

func (f *filter) where(condition, name string, value any) {
	f.conditions = append(f.conditions, condition)
	if f.values == nil {
		f.values = bound{}
	}
	f.values[name] = value
}

// stream narrows to streams as the filters of windows and verdicts do.
func (f *filter) stream(role schemas.Role, features []string, slice string, anySlice bool, version string) {
	if role != 0 {
		f.where("role = {role:UInt8}", "role", uint8(role))
	}
	if len(features) > 0 {
		f.where("feature IN {features:Array(String)}", "features", features)
	}
	if !anySlice {
		f.where("slice = {slice:String}", "slice", slice)
	}
	if version != "" {
		f.where("version = {version:String}", "version", version)
	}
}

// between narrows a column of Unix milliseconds to [from, to).
func (f *filter) between(column string, from, to time.Time) {
	if !from.IsZero() {
		f.where(column+" >= {from:Int64}", "from", from.UnixMilli())
	}
	if !to.IsZero() {
		f.where(column+" < {to:Int64}", "to", to.UnixMilli())
	}
}

// limit binds the number of rows, at least one.
func (f *filter) limit(n int) string {
	if f.values == nil {
		f.values = bound{}
	}
	f.values["limit"] = uint64(max(n, 1))
	return " LIMIT {limit:UInt64}"
}

func (f *filter) String() string {
	if len(f.conditions) == 0 {
		return "1"
	}
	return strings.Join(f.conditions, " AND ")
}

// moment is Unix milliseconds as a time in UTC.
func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
