package evaluate

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/modelwatch/modelwatch/detectors/budget"
)

// stateForm is the first byte of a state: then comes the length of its JSON,
// the JSON, and the memory of the budget's detectors in a form of its own, as
// it is nearly all of the state and changes with every window. A state that
// begins with a brace is JSON as a whole, as it was before there was this form.
const stateForm = 1

var (
	errForm = errors.New("its form is not known to this program")
	errCut  = errors.New("it is cut short")
)

// encode writes the state; equal states give equal bytes.
func (s *state) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 1+binary.MaxVarintLen64+len(body))
	out = append(out, stateForm)
	out = binary.AppendUvarint(out, uint64(len(body)))
	out = append(out, body...)
	return s.Budget.AppendBinary(out)
}

// decode reads what encode wrote into an empty state.
func (s *state) decode(b []byte) error {
	if len(b) == 0 {
		return errCut
	}
	switch b[0] {
	case stateForm:
		n, size := binary.Uvarint(b[1:])
		if size <= 0 || n > uint64(len(b)-1-size) {
			return errCut
		}
		rest := b[1+size:]
		if err := json.Unmarshal(rest[:n], s); err != nil {
			return err
		}
		return s.Budget.UnmarshalBinary(rest[n:])
	case '{':
		if err := json.Unmarshal(b, s); err != nil {
			return err
		}
		var before struct {
			Budget budget.Memory `json:"budget"`
		}
		if err := json.Unmarshal(b, &before); err != nil {
			return err
		}
		s.Budget = before.Budget
		return nil
	}
	return fmt.Errorf("%w: it begins with %d", errForm, b[0])
}
