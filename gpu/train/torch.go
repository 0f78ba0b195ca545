package train

import (
	"fmt"
	"strings"
)

// Torch returns the Python expression of the equal torch.nn.Sequential, whose
// state_dict has the model's names and shapes.
func (m *Model) Torch() string {
	parts := make([]string, len(m.Stages))
	for i := range m.Stages {
		parts[i] = "nn." + m.Stages[i].torch()
	}
	return "nn.Sequential(" + strings.Join(parts, ", ") + ")"
}

func (st *Stage) torch() string {
	window := fmt.Sprintf("(%d, %d), stride=(%d, %d), padding=(%d, %d)",
		st.Kernel[0], st.Kernel[1], st.Stride[0], st.Stride[1], st.Padding[0], st.Padding[1])
	switch st.Kind {
	case Linear:
		return fmt.Sprintf("Linear(%d, %d, bias=%s)", st.In[0], st.Width, pythonBool(!st.NoBias))
	case Conv2D:
		return fmt.Sprintf("Conv2d(%d, %d, %s, bias=%s)", st.In[0], st.Width, window, pythonBool(!st.NoBias))
	case MaxPool2D:
		return fmt.Sprintf("MaxPool2d(%s)", window)
	case AvgPool2D:
		return fmt.Sprintf("AvgPool2d(%s)", window)
	case Flatten:
		return "Flatten()"
	case ReLU:
		return "ReLU()"
	case GELU:
		return "GELU()"
	case Tanh:
		return "Tanh()"
	case Sigmoid:
		return "Sigmoid()"
	case LeakyReLU:
		return fmt.Sprintf("LeakyReLU(%s)", formatFloat(st.Slope))
	case Dropout:
		return fmt.Sprintf("Dropout(%s)", formatFloat(st.P))
	case LayerNorm:
		return fmt.Sprintf("LayerNorm(%s, eps=%s)", shapeString(st.In), formatFloat(st.Eps))
	case BatchNorm1D:
		return fmt.Sprintf("BatchNorm1d(%d, eps=%s, momentum=%s)", st.In[0], formatFloat(st.Eps), formatFloat(st.Momentum))
	default:
		return fmt.Sprintf("BatchNorm2d(%d, eps=%s, momentum=%s)", st.In[0], formatFloat(st.Eps), formatFloat(st.Momentum))
	}
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
