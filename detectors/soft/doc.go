// Package soft judges what does not come: windows without any rows, and
// predictions without features or features without predictions. What comes is
// judged by detectors/budget.
package soft
