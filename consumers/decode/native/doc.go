// Package native reads modelwatch's own events: one JSON object per Kafka
// record, with the names of the interface.
//
//	{"id":"8f1c","model":"flight-delay","version":"3","ts":"2026-11-20T12:00:00.123Z","features":{"distance":733,"origin":"ORD","temp":null}}
//	{"id":"8f1c","model":"flight-delay","version":"3","ts":"2026-11-20T12:00:00.130Z","prediction":"late","score":0.83,"latency_ms":3.2}
//	{"id":"8f1c","model":"flight-delay","ts":"2026-11-20T14:10:00Z","label":"late"}
//
// It owns the scanner of that JSON. The scanner is strict: it accepts what RFC
// 8259 allows, in UTF-8, and one thing more (see Repairs). It reads a value
// once, from left to right, straight into the columns of the model's block; it
// builds no tree, no map and no string, and allocates nothing for an event that
// can be used. A value is read a second time only where its meaning hangs on
// what came after it: features before the model, or a key given twice.
//
// # The event
//
// The keys come in any order; unknown ones are ignored, whatever they hold,
// but their syntax is checked. Of a key given twice the last one counts, as in
// encoding/json; this holds for a feature too.
//
//   - model: text; a number counts as its text. None, null, "" or anything else
//     is no_model. A model of which the Target knows nothing is unknown_model.
//   - id, version: text; a number counts as its text, digit for digit, so no id
//     above 2^53 loses any. None, null and "" mean that the event has none. Any
//     other value, or more than 256 bytes, is bad_id or bad_version: a cut id
//     could join the wrong rows.
//   - ts: RFC 3339, or a number of Unix milliseconds whose fraction is dropped.
//     In the text the seconds may be missing (Java leaves out :00), the fraction
//     may have any number of digits and is cut to milliseconds, T may be t or a
//     space, and the zone may be written +hhmm. A time without a zone is
//     bad_time, because guessing it would move events by hours; so is a leap
//     second, and a number outside the years 0 to 9999, which is how
//     microseconds are noticed. Seconds as a number cannot be told from
//     milliseconds: they are in 1970 and late. None or null: the time of the record.
//   - features: an object; anything else but null is bad_features. The part is
//     there even when the object is empty, so that the columns are missing.
//   - prediction, label: any value. The part is there when the key is, null
//     included: a null prediction is a fault that must be seen.
//   - score, scores, latency_ms belong to the part prediction. A score or scores
//     that is not null makes that part even without a prediction; latency_ms
//     alone does not, and is dropped without it.
//   - score is taken from scores[Layout.Positive] when it is absent or null.
//     Scores that are no object then make the score nested, which is no number.
//   - neither part: no_part.
//
// Names of Aporia's form are read as well: model_name, model_version, inputs,
// and outputs with the members prediction, score, scores and latency_ms. Each
// counts when the native key is absent or null. Other members of outputs are
// ignored: which of them would be the prediction is not for us to guess.
//
// # Values
//
//   - A number is the float64 nearest to its decimal text, ties to even; this
//     holds above 2^53. What is beyond the largest float64 (1e999) is an infinity
//     and has that kind. In a textual column the text is kept as it was written:
//     1, 1.0 and 1e0 are three texts. An infinity has none.
//   - A text is kept with its hash. The usual spellings of NaN and the infinities
//     ([+-]nan, [+-]inf, [+-]infinity, in any case) have those kinds and no text.
//     In a textual column only what number formatters write counts (NaN nan
//     Infinity +Infinity -Infinity inf -inf +Inf -Inf): NAN is the airport of Nadi, and INF an
//     infant's fare.
//   - true and false keep those words as text.
//   - An object or a list is nested; what it holds is checked, not kept.
//   - A feature that the layout does not know goes to Block.Extra, each name
//     once, the first schemas.MaxExtra of a row.
//   - A lone surrogate (\ud800) is U+FFFD, as in encoding/json. Invalid UTF-8
//     is not replaced but refused, wherever in the value it stands.
//
// # Repairs
//
// Bare NaN, Infinity and -Infinity outside strings are not JSON, but Python's
// json.dumps writes them unless told otherwise. They are read as those kinds and
// counted by Repaired. Nothing else is repaired.
//
// # Limits
//
// A value above Config.MaxBytes is too_large; its beginning is searched for the
// model, so that the model can be told. More than 64 levels are too_deep; levels
// are counted in one word, so depth costs neither stack nor memory. White space
// may stand around the object, anything else is unparsable, a byte order mark
// included. Reject.Model is set when the model was read before the fault.
//
// # Speed
//
// Producers write their features in the same order every time. For every column
// the decoder remembers which one followed it last; a key that is where it was
// expected is compared in place and needs no search. A wrong guess costs one
// look-up and changes no result.
package native
