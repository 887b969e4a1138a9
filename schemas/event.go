package schemas

// Event is the product's own form of an event, one JSON object a message, as
// services write it. Features, prediction and label may come in one event or
// in several; ID joins them. It documents the form: the program itself reads
// messages straight into blocks.
type Event struct {
	// Joins the features, prediction and label of one request.
	ID string `json:"id,omitempty"`
	// Name of the model.
	Model string `json:"model" jsonschema:"minLength=1"`
	// Version of the model that answered.
	Version string `json:"version,omitempty"`
	// Time of the event: RFC 3339 with a zone, or Unix milliseconds; without it the record's own time counts.
	TS any `json:"ts,omitempty" jsonschema:"oneof_type=string;integer"`
	// Values by name: numbers, text, true and false, null. NaN and the infinities are written as text.
	Features map[string]any `json:"features,omitempty"`
	// What the model said: a number of a regression, text or true and false of a class.
	Prediction any `json:"prediction,omitempty" jsonschema:"oneof_type=number;string;boolean;null"`
	// Probability of the positive class.
	Score any `json:"score,omitempty" jsonschema:"oneof_type=number;string;null"`
	// Probability of each class.
	Scores map[string]any `json:"scores,omitempty"`
	// What was true.
	Label any `json:"label,omitempty" jsonschema:"oneof_type=number;string;boolean;null"`
	// How long the model took, in milliseconds.
	LatencyMS any `json:"latency_ms,omitempty" jsonschema:"oneof_type=number;string;null"`
}
